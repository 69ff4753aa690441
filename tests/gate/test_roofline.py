"""Every speedup floor and published speedup lies below what the hardware allows."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.roofline import GATE
from fixtures.run.plugin import Run


def test_no_floor_promises_more_than_the_hardware(case: Case, run: Run) -> None:
    """The bound is counted from the model's own Linear and attention shapes on the meta device."""
    run.conclude(GATE, case)
