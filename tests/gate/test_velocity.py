"""Each denoising step's prediction stays close to bf16's, on bf16's own trajectory."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.velocity import GATE
from fixtures.run.plugin import Run


def test_each_step_predicts_what_bf16_predicts(case: Case, run: Run) -> None:
    """Teacher-forced, so that diverging trajectories do not blur it; judged per step against floor and baseline."""
    run.conclude(GATE, case)
