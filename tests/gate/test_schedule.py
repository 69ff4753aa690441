"""The published scheduler sets the stored noise levels for the published call."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.schedule import GATE
from fixtures.run.plugin import Run


def test_published_noise_levels_are_the_stored_ones(case: Case, run: Run) -> None:
    """Set by the pipeline's own call at the published size, with a denoiser that has no weights."""
    run.conclude(GATE, case)
