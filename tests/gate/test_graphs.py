"""CUDA graphs change nothing."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.graphs import GATE
from fixtures.run.plugin import Run


def test_replayed_graphs_compute_what_launches_compute(case: Case, run: Run) -> None:
    """The same compiled blocks both times, bit for bit, also after inputs were written between replays."""
    run.conclude(GATE, case)
