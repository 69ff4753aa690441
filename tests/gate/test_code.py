"""The code that a B200 runs compiles whole, and costs what it did."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.code import GATE
from fixtures.run.plugin import Run


def test_generated_code_is_whole_and_costs_what_it_did(case: Case, run: Run) -> None:
    """Blocks at published size go through dynamo, AOT, inductor and Triton to sm_100a, on any machine."""
    run.conclude(GATE, case)
