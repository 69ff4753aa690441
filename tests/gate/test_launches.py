"""What a GPU launches is what the code of its blocks counts."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.launches import GATE
from fixtures.run.plugin import Run


def test_gpu_launches_what_code_counts(case: Case, run: Run) -> None:
    """Inductor's kernels alone; the others have gates of their own."""
    run.conclude(GATE, case)
