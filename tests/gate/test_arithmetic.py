"""Operands decode to what was quantized, and the matmul is right, at each layer shape of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.judge.layers import judge_arithmetic


@pytest.mark.gate("arithmetic")
def test_matmul_equals_an_independent_decode(case: Case, lab: Any, conclude: Callable[..., None]) -> None:
    """Weights, activations, products and whole Linears, each against float64."""
    from fixtures.measure.arithmetic import layer_arithmetic

    subject, reference = lab.subject(case), lab.reference(case)
    step = lab.trajectory(case)[0][0]
    with lab.spending("measure"):
        layers = layer_arithmetic(subject, reference.denoiser, step, progress=lab.progress)
    conclude(
        judge_arithmetic(layers=layers, limit=lambda quantity: lab.limit(case, "arithmetic", quantity)),
        details={"layers": [asdict(layer) for layer in layers]},
    )
