"""Gates that have no file of their own beside this one: new ones, until somebody names their claim."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.registry import AnyGate
from fixtures.run.plugin import Run


def test_gate_that_was_just_added(gate: AnyGate, case: Case, run: Run) -> None:
    """Each gate of fixtures/gates, and of the files that GATE_GATES names."""
    run.conclude(gate, case)
