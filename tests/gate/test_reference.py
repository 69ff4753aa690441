"""Tonight's unquantized pipeline still draws the stored pictures: if not, torch or diffusers moved, not torchao."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.reference import GATE
from fixtures.run.plugin import Run


def test_unquantized_pipeline_draws_the_stored_pictures(case: Case, run: Run) -> None:
    """Stored pictures at batch 1; on a CPU in float32, which bf16 has to draw too, at every batch size."""
    run.conclude(GATE, case)
