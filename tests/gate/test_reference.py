"""Tonight's unquantized pipeline still draws the stored pictures: if not, torch or diffusers moved, not torchao."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.gates.closeness import judge_bf16, judge_reference, judge_sound_to_stored, judge_unlike
from fixtures.gates.verdict import equals


@pytest.mark.gate("reference")
def test_unquantized_pipeline_draws_the_stored_pictures(
    case: Case, lab: Any, gate_run: Any, conclude: Callable[..., None]
) -> None:
    """On a CPU the checkpoint runs in float32: bf16 pictures differ between instruction sets, float32 ones do not.

    There bf16 has to draw what float32 draws, at every batch size, so that a fault of bf16 alone is not blamed on the
    formats. Stored pictures belong to batch 1: a prompt's noise does not depend on its neighbours.
    """
    from fixtures.gates.pictures.metric import share_unlike, shows_something
    from fixtures.report.pictures import as_stored, save_pairs

    drawn, dtype = lab.unquantized(case)
    pictures = drawn.pictures
    tonight = as_stored(pictures)
    shown: list[Any] = []

    def compare(stored: Any) -> Any:
        before = lab.stored_reference(case)
        distances = lab.compare(before, tonight)
        values = [max(frame.value for frame in frames) for frames in distances]
        shown.extend(
            save_pairs(
                gate_run.picture_folder(),
                "reference",
                prompts=[picture.prompt for picture in stored.pictures],
                reference=before,
                candidate=tonight,
                distances=distances,
            )
        )
        checks = judge_reference(
            distances=values, stored=len(stored.pictures), mean=lab.limit(case, "reference", "lpips_to_stored")
        )
        checks += judge_unlike(
            shares=[share_unlike(*pair) for pair in zip(before, tonight, strict=True)],
            ceiling=lab.limit(case, "reference", "values_unlike_stored"),
        )
        if lab.model(case).sampling(case.checkpoint).sound_rate is not None:
            ceiling = lab.limit(case, "reference", "sound_to_stored")
            levels, kept = lab.sound_levels(case, drawn), stored.sound_levels_db or []
            checks.append(judge_sound_to_stored(levels=levels, stored=kept, ceiling=ceiling))
        return checks

    visible = sum(shows_something(picture) for picture in pictures)
    checks = lab.against_baseline(case, "reference", "stored pictures", compare) if case.batch_size == 1 else []
    checks.append(equals("pictures that show something", visible, len(pictures)))
    if dtype == "float32":
        bf16 = lab.compare(pictures, lab.observation(case).pictures[: len(pictures)])
        checks += judge_bf16(
            distances=[max(frame.value for frame in frames) for frames in bf16],
            worst=lab.limit(case, "reference", "lpips_bf16_to_float32"),
        )
    conclude(checks, pictures=shown, details={"dtype": dtype})
    if case.batch_size == 1:
        lab.record_reference(case, drawn, dtype)
