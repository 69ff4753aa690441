"""Pictures stay close to the same run's bf16 pictures, and the ceilings tell healthy pictures from broken ones."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.judge.closeness import judge_quality, judge_quality_drift


@pytest.mark.gate("quality")
def test_pictures_stay_close_to_bf16(case: Case, lab: Any, gate_run: Any, conclude: Callable[..., None]) -> None:
    """LPIPS per prompt, mean and worst; one generator a prompt; the same batch size on both sides."""
    from fixtures.record.pictures import save_pairs
    from fixtures.record.sections import Quality

    reference, candidate = lab.reference_observation(case).pictures, lab.observation(case).pictures
    distances = lab.compare(reference, candidate)
    values = [fmean(frame.value for frame in frames) for frames in distances]
    controls = lab.controls(case)
    mean, worst = (lab.limit(case, "quality", name) for name in ("lpips_mean", "lpips_worst"))
    checks = judge_quality(distances=values, controls=controls, mean=mean, worst=worst)
    checks += lab.against_baseline(
        case,
        f"quality:{lab.metric.name}",
        "mean against baseline",
        lambda stored: [judge_quality_drift(distances=values, stored=stored.per_prompt, unit="LPIPS")],
    )
    sampling = lab.model(case).sampling(case.checkpoint)
    pictures = save_pairs(
        gate_run.picture_folder(),
        "quality",
        prompts=list(sampling.prompts),
        reference=reference,
        candidate=candidate,
        distances=distances,
    )
    conclude(checks, pictures=pictures, details={"per_prompt": values, "controls": controls})
    lab.contribute(
        case,
        "quality",
        lambda: Quality(
            metric=lab.metric.name,
            net="alex",
            size=list(candidate.shape[1:-1]),
            seed=sampling.seed,
            prompts=list(sampling.prompts),
            per_prompt=values,
            controls={name: fmean(group) for name, group in controls.items()},
        ),
    )
