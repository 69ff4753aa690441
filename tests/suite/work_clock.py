"""A clock that counts work: it stands still but for the seconds that a call of a denoiser is said to take.

As a pytest plugin of a run of the gate it is what the speed gate reads, through pytest-benchmark, so that its verdict
depends on no machine.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from fixtures.faults.in_operands import NVFP4_TENSOR
from fixtures.faults.in_pipeline import FLUX
from fixtures.faults.patching import wrapped
from fixtures.gates.speed.rounds import Clock

BF16_S = 0.010
MATMUL_S = 0.001
"""What every NVFP4 matmul adds to a call."""

_now = 0.0
_disturbed = ""


def now() -> float:
    """Seconds of work so far."""
    return _now


def spend(seconds: float) -> None:
    """Work for so long."""
    global _now  # noqa: PLW0603  pytest-benchmark finds its timer by name in a module
    _now += seconds


def install(patch: pytest.MonkeyPatch, *, nvfp4_matmul: float = MATMUL_S, disturbed: str = "") -> list[str]:
    """Let bf16 and every NVFP4 matmul take these seconds; returns the options by which a run reads this clock."""
    turn = itertools.count()

    def forward(original: Any, *args: Any, **kwargs: Any) -> Any:
        # 2 % of jitter that is the same in every run: seconds without any would be no measurement.
        spend(BF16_S * (1 + 0.02 * math.sin(next(turn))))
        return original(*args, **kwargs)

    def dispatch(original: Any, *args: Any, **kwargs: Any) -> Any:
        spend(nvfp4_matmul)
        return original(*args, **kwargs)

    patch.setattr(*wrapped(FLUX, "FluxTransformer2DModel.forward", forward))
    patch.setattr(*wrapped(NVFP4_TENSOR, "_addmm_nvfp4_dispatch", dispatch))
    patch.setitem(globals(), "_disturbed", disturbed)
    return ["-p", __name__, "--benchmark-timer", f"{__name__}.now"]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """The speed gate's timer brings this clock."""
    timer = pyfuncitem.funcargs.get("benchmark")
    if timer is not None:
        vars(timer)["clock"] = Clock(now=now, disturbed=lambda window: _disturbed)
