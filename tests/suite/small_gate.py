"""The gate made small, so that it runs many times in one process: two prompts, two steps, limits that fit them.

A pytest plugin (`-p tests.suite.small_gate`) and no patch of the harness, so that the new process that the determinism
gate starts takes it along.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fixtures.catalog.models import discover
from fixtures.catalog.schema import Limit, Model, Sampling

STEPS = 2
PROMPTS = 2


def small(model: Model) -> Model:
    """The model with a short tiny sampling, and limits for it in place of those that hold for the long one."""
    long = model.samplings["tiny"]
    sampling = Sampling(
        call={**long.call, "num_inference_steps": STEPS},
        prompts=long.prompts[:PROMPTS],
        seed=long.seed,
        denoiser_calls=long.denoiser_calls * STEPS // int(long.call["num_inference_steps"]),
    )
    return dataclasses.replace(
        model,
        samplings={**model.samplings, "tiny": sampling},
        limits=(*(limit for limit in model.limits if "tiny" not in limit.checkpoints), *LIMITS),
    )


def _limit(gate: str, quantity: str, unit: str, *formats: str, **bound: float) -> Limit:
    source = "two prompts and two steps, shift-tolerant LPIPS: several times what a healthy stack shows"
    kwargs: dict[str, Any] = {**bound, "formats": formats, "checkpoints": ("tiny",)}
    return Limit(gate=gate, quantity=quantity, unit=unit, source=source, **kwargs)


LIMITS = (
    _limit("reference", "lpips_to_stored", "LPIPS", ceiling=0.00002),
    _limit("reference", "lpips_bf16_to_float32", "LPIPS", ceiling=0.001),
    _limit("quality", "lpips_mean", "LPIPS", "fp8", "mxfp8", ceiling=0.004),
    _limit("quality", "lpips_mean", "LPIPS", "nvfp4", ceiling=0.02),
    _limit("quality", "further", "x", ceiling=1.2),
    _limit("velocity", "sqnr_worst_step", "dB", "fp8", "mxfp8", floor=20.0),
    _limit("velocity", "sqnr_worst_step", "dB", "nvfp4", floor=10.0),
)


def small_models() -> dict[str, Model]:
    """Every model of the catalog; those with a tiny checkpoint are small."""
    return {name: small(model) if "tiny" in model.samplings else model for name, model in discover().items()}


_patch = pytest.MonkeyPatch()


def pytest_configure() -> None:
    """From here on the catalog's models are small."""
    _patch.setattr("fixtures.catalog.discover", small_models)


def pytest_unconfigure() -> None:
    """The catalog is as it was."""
    _patch.undo()
