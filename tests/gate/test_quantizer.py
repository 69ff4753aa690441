"""What a B200 quantizes activations with, run on whatever machine this is."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.quantizer import GATE
from fixtures.run.plugin import Run


def test_activations_are_quantized_by_the_rules_of_the_format(case: Case, run: Run) -> None:
    """mslk's kernel, or the branch that torchao compiles for sm_100, against an oracle in float64, bit by bit."""
    run.conclude(GATE, case)
