"""Each component of the published pipeline computes what is stored, without weights."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.components import GATE
from fixtures.run.plugin import Run


def test_published_components_compute_the_stored_numbers(case: Case, run: Run) -> None:
    """In a narrow copy that keeps every switch of the published config."""
    run.conclude(GATE, case)
