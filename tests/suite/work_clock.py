"""A clock that counts work: it stands still but for the seconds that a call of a denoiser is said to take.

With it the speed gate runs as it is, through pytest-benchmark, and its verdict depends on no machine.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import psutil
import pytest

from fixtures.faults.in_operands import NVFP4_TENSOR
from fixtures.faults.in_pipeline import FLUX
from fixtures.faults.patching import wrapped
from fixtures.gates.speed import clock

BF16_S = 0.010
MATMUL_S = 0.001
"""What every NVFP4 matmul adds to a call."""

_now = 0.0


def now() -> float:
    """Seconds of work so far."""
    return _now


def spend(seconds: float) -> None:
    """Work for so long."""
    global _now  # noqa: PLW0603  pytest-benchmark finds its timer by name in a module
    _now += seconds


def install(patch: pytest.MonkeyPatch, *, nvfp4_matmul: float = MATMUL_S, bf16: float = BF16_S) -> list[str]:
    """Let the speed gate read this clock; returns the options that make pytest-benchmark read it too."""
    turn = itertools.count()

    def forward(original: Any, *args: Any, **kwargs: Any) -> Any:
        # 2 % of jitter that is the same in every run: seconds without any would be no measurement.
        spend(bf16 * (1 + 0.02 * math.sin(next(turn))))
        return original(*args, **kwargs)

    def dispatch(original: Any, *args: Any, **kwargs: Any) -> Any:
        spend(nvfp4_matmul)
        return original(*args, **kwargs)

    patch.setattr(*wrapped(FLUX, "FluxTransformer2DModel.forward", forward))
    patch.setattr(*wrapped(NVFP4_TENSOR, "_addmm_nvfp4_dispatch", dispatch))
    defaults = clock.interleaved_rounds.__kwdefaults__
    assert defaults is not None
    patch.setitem(defaults, "clock", now)
    idle = psutil.cpu_times()
    patch.setattr(psutil, "cpu_times", lambda: idle)
    return ["--benchmark-timer", f"{__name__}.now"]
