"""Operands decode to what was quantized, as well as the format can, and the matmul is right, in every Linear."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.arithmetic import GATE
from fixtures.run.plugin import Run


def test_matmul_equals_an_independent_decode(case: Case, run: Run) -> None:
    """Weights, activations, products and whole Linears against float64; of published weights one Linear a shape."""
    run.conclude(GATE, case)
