"""Pictures stay close to the same run's bf16 pictures, and the ceilings tell healthy pictures from broken ones."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.gates.closeness import armed_baseline, judge_flicker, judge_quality, judge_quality_drift
from fixtures.gates.verdict import Check


@pytest.mark.gate("quality")
def test_pictures_stay_close_to_bf16(case: Case, lab: Any, gate_run: Any, conclude: Callable[..., None]) -> None:
    """LPIPS per prompt, mean and worst; one generator a prompt; the same batch size on both sides.

    Of videos every frame counts, flicker from frame to frame is judged apart, and so is the sound.
    """
    from fixtures.report.pictures import save_pairs
    from fixtures.results.sections import Quality

    reference, candidate = lab.reference_observation(case).pictures, lab.observation(case).pictures
    distances = lab.compare(reference, candidate)
    values = [fmean(frame.value for frame in frames) for frames in distances]
    controls = lab.controls(case)
    mean, worst = (lab.limit(case, "quality", name) for name in ("lpips_mean", "lpips_worst"))
    every = [frame.value for frames in distances for frame in frames] if reference.ndim == 5 else []
    checks = judge_quality(distances=values, controls=controls, mean=mean, worst=worst, frames=every)
    flicker, flickering = lab.flicker(case)
    checks += judge_flicker(worst=flicker, control=flickering, ceiling=lab.limit(case, "quality", "flicker_worst"))
    sound, broken = lab.sound(case)
    if sound:
        mean, worst = (lab.limit(case, "quality", name) for name in ("sound_mean", "sound_worst"))
        checks += judge_quality(distances=sound, controls=broken, mean=mean, worst=worst, control="control sound")

    ceiling = lab.limit(case, "quality", "lpips_mean")

    def drift(stored: Quality) -> list[Check]:
        armed = armed_baseline(fmean(stored.per_prompt), ceiling)
        pairs = (("mean", values, stored.per_prompt, "LPIPS"), ("sound's mean", sound, stored.sound_db, "dB"))
        factor = lab.limit(case, "quality", "drift")
        return armed + [
            judge_quality_drift(
                distances=tonight, stored=before or [], unit=unit, name=f"{name} against baseline", limit=factor
            )
            for name, tonight, before, unit in pairs
            if tonight or before
        ]

    checks += lab.against_baseline(case, f"quality:{lab.metric.name}", "mean against baseline", drift)
    sampling = lab.model(case).sampling(case.checkpoint)
    pictures = save_pairs(
        gate_run.picture_folder(),
        "quality",
        prompts=list(sampling.prompts),
        reference=reference,
        candidate=candidate,
        distances=distances,
        clips=lab.clips(case),
    )
    details = {"per_prompt": values, "controls": controls}
    if every:
        details |= {"flicker": flicker, "sound_db": sound, "sound_controls": broken}
    conclude(checks, pictures=pictures, details=details, note=lab.place(case, checks))
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
            flicker=flicker or None,
            sound_db=sound or None,
        ),
    )
