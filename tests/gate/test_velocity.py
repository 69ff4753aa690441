"""Each denoising step's prediction stays close to bf16's, on bf16's own trajectory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.gates.closeness import armed_baseline, judge_velocity, judge_velocity_drift
from fixtures.gates.verdict import Check


@pytest.mark.gate("velocity")
def test_each_step_predicts_what_bf16_predicts(case: Case, lab: Any, conclude: Callable[..., None]) -> None:
    """Teacher-forced, so that diverging trajectories do not blur it; judged per step against floor and baseline."""
    from fixtures.gates.velocity.sqnr import sqnr_per_step
    from fixtures.results.sections import Velocity

    subject, trajectory = lab.subject(case), lab.trajectory(case)
    with lab.spending("measure"):
        per_step = sqnr_per_step(subject, trajectory)
    floor = lab.limit(case, "velocity", "sqnr_worst_step")
    checks = judge_velocity(per_step_db=per_step, floor=floor)
    details = {"per_step_db": per_step}

    def drift(stored: Velocity) -> list[Check]:
        details["baseline_per_step_db"] = stored.per_step_db
        armed = armed_baseline(min(stored.per_step_db), floor)
        return [*armed, *judge_velocity_drift(per_step_db=per_step, stored=stored.per_step_db)]

    checks += lab.against_baseline(case, "velocity", "loss against baseline", drift)
    conclude(checks, details=details, note=lab.place(case, checks))
    lab.contribute(case, "velocity", lambda: Velocity(per_step_db=per_step))
