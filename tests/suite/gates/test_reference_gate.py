"""The reference gate: the worst picture decides, every stored one is drawn, and what is recorded is what passes."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fixtures.catalog.limits import Limits
from fixtures.gates.base import Missing, conclude
from fixtures.gates.pictures.metric import load_metric
from fixtures.gates.reference import GATE, ReferenceKept, ReferenceResult, StoredPicture
from fixtures.gates.verdict import Cause, Check, Verdict, settle
from fixtures.pipelines.observations import Observations
from tests.suite.closeness_samples import CEILING, RECORDING, distances, limits, not_numbers, passes, places, put
from tests.suite.contexts import Stored, context, tiny, tiny_observations

STORED = limits("reference", lpips_to_stored=CEILING)
UNLIKE = limits("reference", lpips_to_stored=CEILING, values_unlike_stored=CEILING)
SOUND = limits("reference", lpips_to_stored=CEILING, sound_to_stored=0.05)


def result(to_stored: Sequence[float], **more: Any) -> ReferenceResult:
    """What was measured of a batch of 1 whose pictures are so far from the stored ones."""
    plain = {"dtype": "bfloat16", "size": [8, 8], "seed": 0, "showing": [True], "batch_size": 1}
    return ReferenceResult(**{**plain, **more}, to_stored=list(to_stored))


def judged(
    to_stored: Sequence[float],
    bounds: Limits = STORED,
    *,
    stored: int | None = None,
    levels: list[float] | None = None,
    **more: Any,
) -> list[Check]:
    """The gate's checks beside so many stored pictures (as many as were drawn) and stored levels of sound."""
    picture = StoredPicture(file="a.png", sha256="0" * 64, prompt="a ring")
    number = len(to_stored) if stored is None else stored
    before = ReferenceKept(
        dtype="bfloat16", size=[8, 8], seed=0, pictures=[picture] * max(1, number), sound_levels_db=levels
    )
    return GATE.judge(result(to_stored, **more), bounds, before)


@given(values=distances, missing=st.integers(1, 3))
def test_the_worst_picture_decides_and_every_stored_one_has_to_be_drawn(values: list[float], missing: int) -> None:
    assert passes(judged(values)) == (max(values) <= CEILING)
    assert not passes(judged(values, stored=len(values) + missing))
    assert not passes(judged([]))


@given(values=distances, place=places, value=not_numbers)
def test_one_distance_that_is_no_number_never_passes(values: list[float], place: int, value: float) -> None:
    assert not passes(judged(put(values, place, value)))


@given(values=distances, place=places, more=st.floats(0, 1))
def test_a_picture_that_gets_worse_makes_nothing_greener(values: list[float], place: int, more: float) -> None:
    assert passes(judged(values)) or not passes(judged(put(values, place, values[place % len(values)] + more)))


def test_a_mean_is_judged_by_the_mean_and_a_limit_that_no_nights_have_set_tells_what_moved() -> None:
    (one,) = limits("reference", lpips_to_stored_mean=CEILING)
    for far, settled, expected in (
        ([0.0, 1.9 * CEILING], True, Verdict.PASS),
        ([0.0, 2.1 * CEILING], True, Verdict.FAIL),
        ([0.0, 2.1 * CEILING], False, Verdict.PASS),
        ([0.0, math.nan], False, Verdict.ERROR),
    ):
        bounds = Limits(entries=(dataclasses.replace(one, settled=settled),))
        checks = judged(far, bounds)
        assert settle(checks).verdict is expected, (far, settled)
        moved = not settled and far[1] > CEILING
        assert checks[0].note.startswith("moved beyond ") == moved
        assert checks[0].note.endswith("mean of 2 pictures") or expected is Verdict.ERROR


@given(shares=distances)
def test_the_picture_with_most_unlike_values_decides(shares: list[float]) -> None:
    assert passes(judged([0.0], UNLIKE, unlike_stored=shares)) == (max(shares) <= CEILING)
    assert not passes(judged([0.0], UNLIKE, unlike_stored=[*shares, math.nan]))
    assert not passes(judged([0.0], UNLIKE))
    assert passes(judged([0.0], unlike_stored=shares))


def test_a_reference_without_a_ceiling_is_an_error_that_says_where_to_write_one() -> None:
    found = [check for check in judged([0.0], Limits(), bf16_to_float32=[0.0]) if check.verdict is Verdict.ERROR]
    assert [check.name for check in found] == ["lpips_to_stored", "lpips_bf16_to_float32"]
    assert all("add one to the model's catalog file" in check.note for check in found)
    assert {check.cause for check in found} == {Cause.NO_LIMIT}


def test_a_sound_is_held_against_its_stored_levels() -> None:
    kept = [-20.0, -40.0]
    for levels, bounds, expected in (
        (kept, SOUND, Verdict.PASS),
        ([-20.0, -40.1], SOUND, Verdict.FAIL),
        ([math.nan, -40.0], SOUND, Verdict.ERROR),
        ([-20.0], SOUND, Verdict.ERROR),
        (kept, STORED, Verdict.ERROR),
    ):
        assert settle(judged([0.0], bounds, levels=kept, sound_levels_db=levels)).verdict is expected


def test_black_pictures_and_a_bf16_that_draws_something_else_are_red_at_every_batch_size() -> None:
    bounds = limits("reference", lpips_bf16_to_float32=CEILING)
    for far, showing, expected in (
        (0.05, True, True),
        (0.2, True, False),
        (0.05, False, False),
        (math.nan, True, False),
    ):
        now = result([], batch_size=2, showing=[True, showing], bf16_to_float32=[0.0, far])
        assert passes(GATE.judge(now, bounds, RECORDING)) is expected
    assert GATE.keep(result([], batch_size=2)) is None


def test_in_float32_every_batch_size_has_to_draw_what_is_stored_of_batch_1() -> None:
    """What only batches break is then no fault of bf16, which draws as float32 does."""
    alone = ReferenceKept(
        dtype="float32", size=[8, 8], seed=0, pictures=[StoredPicture(file="a.png", sha256="0" * 64, prompt="a ring")]
    )
    bounds = limits("reference", lpips_to_stored=CEILING, lpips_bf16_to_float32=CEILING)
    for far, expected in ((0.0, Verdict.PASS), (0.3, Verdict.FAIL)):
        now = result([far], batch_size=2, alone=alone, bf16_to_float32=[0.0])
        said = settle(GATE.judge(now, bounds, RECORDING))
        assert said.verdict is expected
        assert "worst of 1 pictures; drawn 2 at a time, stored alone" in said.message
        assert said.verdict is Verdict.PASS or "bf16" not in said.message
    nothing = Missing(reason="nobody recorded batch 1", cause=Cause.NO_BASELINE, entitled=True)
    found = GATE.judge(result([], batch_size=2, alone=nothing, bf16_to_float32=[0.0]), bounds, RECORDING)
    assert [check.verdict for check in found] == [Verdict.SKIP, Verdict.PASS, Verdict.PASS]


def test_what_is_recorded_of_a_tiny_checkpoint_passes_and_a_damaged_picture_fails_with_its_sentence() -> None:
    seen = Observations(pipelines=tiny_observations().pipelines, calls_of=lambda _: 4)
    # Its limits are those of a real one, which comes whole with its package.
    ctx = functools.partial(context, tiny("bf16"), observations=seen, metric=lambda: load_metric("st-lpips-alex"))
    recorded = conclude(GATE, ctx(recording=True))
    assert recorded.kept is not None
    assert recorded.kept.files() == {name: hashlib.sha256(data).hexdigest() for name, data in recorded.files.items()}
    assert list(recorded.files) == [f"bf16-tiny-bs1-eager-{index}.png" for index in range(4)]
    images = [Image.open(io.BytesIO(data)) for data in recorded.files.values()]
    assert all(recorded.kept.size == [image.height, image.width] for image in images)
    drawn = np.stack([np.asarray(image, dtype=np.float32) / np.float32(255) for image in images])
    sections = {"reference": recorded.kept}
    again = conclude(GATE, ctx(baselines=Stored(sections=sections, drawn=drawn)))
    shown = again.explanation.pictures
    assert shown is not None
    assert again.result.unlike_stored == again.result.to_stored == [0.0] * 4
    assert (shown.sides, shown.ceiling) == (("stored", "tonight"), again.judgement.checks[0].ceiling)
    assert (again.files, again.kept) == ({}, None)

    damaged = Missing(reason="its picture is not the one that was recorded", cause=Cause.BROKEN_BASELINE)
    broken = conclude(GATE, ctx(baselines=Stored(sections=sections, missing=damaged)))
    check = broken.judgement.checks[0]
    assert (check.name, check.verdict, check.note) == ("stored pictures", Verdict.FAIL, damaged.reason)
    assert check.cause is Cause.BROKEN_BASELINE
    assert broken.explanation.pictures is None
