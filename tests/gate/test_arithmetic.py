"""Operands decode to what was quantized, as well as the format can, and the matmul is right, in every Linear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.gates.arithmetic.layers import judge_arithmetic


@pytest.mark.gate("arithmetic")
def test_matmul_equals_an_independent_decode(case: Case, lab: Any, conclude: Callable[..., None]) -> None:
    """Weights, activations, products and whole Linears against float64; of published weights one Linear a shape."""
    from fixtures.results.sections import Arithmetic

    layers = lab.layers(case)
    checks = judge_arithmetic(layers=layers, limit=lambda quantity: lab.limit(case, "arithmetic", quantity))
    conclude(checks, details={"layers": [asdict(layer) for layer in layers]}, note=lab.place(case, checks))

    def signals() -> Arithmetic:
        """Of the Linears on what the model itself feeds them: what is made up needs no record."""
        by_step: dict[str, dict[str, list[float]]] = {}
        for layer in layers:
            if not layer.made_up:
                kept = [round(value, 2) for value in (layer.weight_db, layer.activation_db, layer.output_db)]
                by_step.setdefault(str(layer.step), {})[layer.name] = kept
        return Arithmetic(signal_db=by_step)

    lab.contribute(case, "arithmetic", signals)
