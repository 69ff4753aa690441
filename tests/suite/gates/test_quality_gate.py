"""The quality gate: worse is never greener, what is no number never passes, and a ceiling has to mean something."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from fixtures.catalog.formats import finer_format
from fixtures.catalog.limits import Limits
from fixtures.gates.base import Missing, conclude
from fixtures.gates.context import Once
from fixtures.gates.pictures.further import FURTHER, FURTHER_CHANGE, Finer, judge_further, paired, quantities, told
from fixtures.gates.quality import GATE, QUALITY_DRIFT, QualityKept, QualityResult
from fixtures.gates.verdict import Cause, Check, Verdict, settle
from tests.suite.closeness_samples import CEILING, RECORDING, distances, limits, not_numbers, passes, places, put
from tests.suite.contexts import Stored, context, tiny

BOTH = limits("quality", lpips_mean=CEILING, lpips_worst=2 * CEILING)
FLICKER = limits("quality", lpips_mean=CEILING, flicker_worst=2.0)
NOTHING = Limits()
BROKEN = {"black": [0.9, 0.8], "noise": [1.1, 1.2]}


def measured(values: Sequence[float], controls: Mapping[str, Sequence[float]] = BROKEN, **more: Any) -> QualityResult:
    """A result with these distances, one a prompt."""
    return QualityResult(
        metric="m",
        size=[8, 8],
        seed=0,
        prompts=["a ring"] * len(values),
        per_prompt=list(values),
        controls={name: list(group) for name, group in controls.items()},
        **more,
    )


def judged(
    values: Sequence[float],
    controls: Mapping[str, Sequence[float]] = BROKEN,
    bounds: Limits = BOTH,
    before: QualityKept | Missing = RECORDING,
    **more: Any,
) -> list[Check]:
    """The gate's checks on them."""
    return GATE.judge(measured(values, controls, **more), bounds, before)


def drift(values: Sequence[float], stored: float, bounds: Limits = NOTHING, **more: Any) -> list[Check]:
    """The checks against a baseline alone."""
    before = GATE.keep(measured([stored], {}, **more))
    return judged(values, bounds=bounds, before=before)


@given(values=distances)
def test_quality_passes_exactly_within_both_ceilings(values: list[float]) -> None:
    mean = math.fsum(values) / len(values)
    assume(abs(mean - CEILING) > 1e-12)
    assert passes(judged(values)) == (mean <= CEILING and max(values) <= 2 * CEILING)


@given(values=distances, place=places, value=not_numbers)
def test_one_distance_that_is_no_number_never_passes(values: list[float], place: int, value: float) -> None:
    broken = put(values, place, value)
    assert not passes(judged(broken))
    assert not passes(drift(broken, 1.0))


@given(values=distances, place=places, more=st.floats(0, 1))
def test_a_picture_that_gets_worse_makes_nothing_greener(values: list[float], place: int, more: float) -> None:
    worse = put(values, place, values[place % len(values)] + more)
    assert passes(judged(values)) or not passes(judged(worse))
    assert passes(drift(values, 0.05)) or not passes(drift(worse, 0.05))


@given(control=st.floats(0, 1), factor=st.sampled_from([1.0, 2.0]))
def test_a_ceiling_that_would_let_a_broken_picture_pass_is_red(control: float, factor: float) -> None:
    (mean,) = limits("quality", lpips_mean=CEILING)
    bounds = Limits(entries=(dataclasses.replace(mean, control_factor=factor),))
    assert passes(judged([0.0], {"black": [control]}, bounds)) == (control >= factor * CEILING)


@given(value=not_numbers)
def test_a_control_that_is_no_number_never_passes(value: float) -> None:
    assert not passes(judged([0.0], {"black": [0.9, value]}))


def test_no_picture_and_no_control_never_pass() -> None:
    assert not passes(judged([]))
    assert not passes(judged([0.0], {}))
    assert not passes(drift([], 0.1))
    assert not passes(drift([0.1], 0.1, sound_db=[1.0]))


def test_without_a_published_ceiling_quality_leaves_the_verdict_to_the_baseline() -> None:
    assert judged([0.2], bounds=NOTHING) == []


@pytest.mark.parametrize(("bounds", "allowed"), [(NOTHING, QUALITY_DRIFT), (limits("quality", drift=1.8), 1.8)])
def test_drift_is_a_factor_of_the_baseline_and_a_models_own_takes_the_place_of_the_common_one(
    bounds: Limits, allowed: float
) -> None:
    for factor in (0.0, 1.0, allowed - 1e-6, allowed + 1e-6, 3.0):
        assert passes(drift([0.1 * factor], 0.1, bounds)) == (factor < allowed)


def test_checks_carry_the_source_of_their_limit_and_a_broken_baseline_excuses_nothing() -> None:
    assert judged([0.0])[0].source == "a test's own"
    assert settle(judged([0.05], before=GATE.keep(measured([0.3])))).message.startswith(
        "what the baseline recorded 0.3"
    )


def test_a_video_is_judged_by_its_worst_frame_and_not_by_its_worst_mean() -> None:
    assert passes(judged([0.05], frames=[0.01, 0.15]))
    broken = settle(judged([0.05], frames=[0.01, 0.4])).message
    assert "lpips_worst 0.4 u above ceiling 0.2 u (worst of 2 frames" in broken


@given(worst=st.lists(st.floats(0, 5), min_size=1), control=st.floats(0, 10))
def test_flicker_passes_only_below_its_ceiling_and_only_where_the_control_shows(
    worst: list[float], control: float
) -> None:
    found = judged([0.0], bounds=FLICKER, flicker=worst, flicker_control=[control])
    assert passes(found) == (max(worst) <= 2.0 and control >= 4.0)


def test_a_flicker_that_was_not_measured_never_passes() -> None:
    assert settle(judged([0.0], bounds=FLICKER, flicker_control=[9.0])).verdict is Verdict.ERROR
    assert passes(judged([0.0], flicker=[1.0], flicker_control=[9.0]))


# ---- beside the next finer format ----------------------------------------------------------------------------------

STORED, FINER = [0.010, 0.012, 0.008, 0.010], [0.001, 0.002, 0.001, 0.002]
TWICE = limits("quality", further=2.0)


def beside(values: Sequence[float], finer: Sequence[float] = FINER, stored: Sequence[float] = FINER) -> list[Check]:
    """The check of pictures this far away, with the finer format's tonight and in its baseline."""
    other = Finer(format="mxfp8", origin="this run", per_prompt=list(finer), stored=list(stored))
    before = GATE.keep(measured(STORED, {}))
    found = judged(values, bounds=TWICE, before=before, finer=other)
    return [check for check in found if check.name == FURTHER_CHANGE]


@given(more=st.floats(0, 0.1))
def test_a_format_may_move_away_from_the_finer_one_by_its_limit_and_no_more(more: float) -> None:
    assume(abs(more - 0.010) > 1e-9)
    (check,) = beside([one + more for one in STORED])
    assert (check.verdict is Verdict.PASS) == (more < 0.010)
    assert check.value == pytest.approx(1 + more / 0.010)
    both = beside([one + more for one in STORED], [one + more for one in FINER])
    assert both[0].value == pytest.approx(1.0), "what moved both alike moved neither away from the other"


def test_one_clip_that_went_another_way_decides_nothing() -> None:
    (check,) = beside([*STORED[:3], 0.2])
    assert check.verdict is Verdict.PASS
    assert check.value == pytest.approx(1.0)


def test_the_check_tells_the_finer_format_and_the_growth_with_its_interval() -> None:
    (check,) = beside([0.020, 0.022, 0.017, 0.021])
    assert check.note.startswith("than mxfp8 of this run; baseline 0.0085 LPIPS, since then 0.01 [0.00")
    (check,) = beside([math.nan, *STORED[1:]])
    assert check.verdict is Verdict.ERROR
    (check,) = beside(STORED, stored=[0.0] * 4)
    assert check.verdict is Verdict.PASS


def test_a_baseline_whose_middle_is_nothing_is_broken() -> None:
    other = Finer(format="bf16", origin="bit-equal", per_prompt=[0.0] * 4, stored=[0.0] * 4)
    (check,) = judge_further(distances=STORED, stored=[0.0, 0.0, 0.0, 0.1], finer=other, limit=TWICE.get("further"))
    assert (check.verdict, check.cause) == (Verdict.ERROR, Cause.BROKEN_BASELINE)


def test_nothing_is_judged_without_a_limit_or_a_finer_format_or_of_other_pictures() -> None:
    before = GATE.keep(measured(STORED, {}))
    unknown = Finer(format="mxfp8", origin="this run", per_prompt=FINER, stored=[])
    for found in (
        judged(STORED, bounds=NOTHING, before=before),
        judged(STORED, bounds=TWICE, before=before),
        judged(STORED, bounds=TWICE, before=before, finer=unknown),
        judged(STORED[:2], bounds=TWICE, before=before, finer=Finer(
            format="mxfp8", origin="this run", per_prompt=FINER[:2], stored=FINER[:2]
        )),
    ):  # fmt: skip
        assert [check.name for check in found] == ["mean against baseline"]


@given(values=st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_the_interval_is_the_paired_t_tests(values: list[float]) -> None:
    other = [0.3 * value**2 for value in values]
    found = paired(values, other)
    assert found.interval is not None
    low, high = found.interval
    assert low <= found.mean <= high
    spread = [one - less for one, less in zip(values, other, strict=True)]
    if len({round(one, 6) for one in spread}) > 1:
        expected = stats.ttest_rel(values, other).confidence_interval(0.95)
        assert [low, high] == pytest.approx([expected.low, expected.high], abs=1e-9)


def test_the_comparison_is_told_and_followed() -> None:
    finer = Finer(format="mxfp8", origin="its baseline", per_prompt=FINER, stored=FINER)
    assert told("nvfp4", STORED, finer).startswith("nvfp4 0.0085 [0.00")
    assert told("nvfp4", STORED, finer).endswith("] LPIPS further than mxfp8 of its baseline")
    alone = Finer(format="bf16", origin="bit-equal", per_prompt=[0.0], stored=[0.0])
    assert told("mxfp8", [0.001], alone) == "mxfp8 0.001 LPIPS further than bf16 drawn again"
    (one,) = quantities(STORED, finer)
    assert (one.name, one.unit) == (FURTHER, "LPIPS")
    assert one.value == pytest.approx(0.0085)
    assert quantities([math.nan], alone) == ()


@pytest.mark.parametrize(
    ("format", "among", "finer"),
    [
        ("nvfp4", ("bf16", "fp8", "mxfp8", "nvfp4"), "mxfp8"),
        ("nvfp4", ("bf16", "nvfp4"), "bf16"),
        ("mxfp8", ("bf16", "mxfp8", "nvfp4"), "bf16"),
        ("fp8", ("bf16", "fp8", "mxfp8"), "bf16"),
    ],
)
def test_the_finer_format_is_the_block_scaled_one_with_the_next_more_bits(
    format: str, among: tuple[str, ...], finer: str
) -> None:
    assert finer_format(format, among) == finer


def test_the_finer_format_is_tonights_where_it_was_measured_before_and_else_its_baselines() -> None:
    ctx = context(tiny("nvfp4"), recording=True)
    alone = ctx.measured(GATE)
    assert alone.finer is None, "nothing is drawn for it"
    recorded = GATE.keep(alone)
    stored = replace(ctx, baselines=Stored(sections={"quality": recorded}), shared=Once())
    found = GATE.measure(stored).finer
    assert found is not None
    assert (found.format, found.origin, found.per_prompt) == ("mxfp8", "its baseline", recorded.per_prompt)
    stored.shared.get(("measured", GATE.name, tiny("mxfp8")), lambda: alone.model_copy(update={"seed": 1}))
    found = GATE.measure(stored).finer
    assert found is not None
    assert (found.origin, found.stored) == ("this run", recorded.per_prompt)
    other = recorded.model_copy(update={"seed": 1})
    elsewhere = replace(ctx, baselines=Stored(sections={"quality": other}), shared=Once())
    assert GATE.measure(elsewhere).finer is None, "a baseline of other pictures tells nothing"


def test_pictures_of_a_tiny_checkpoint_are_measured_kept_and_shown_beside_bf16s() -> None:
    recorded = conclude(GATE, context(tiny(), recording=True))
    kept, shown = recorded.kept, recorded.explanation.pictures
    assert recorded.judgement.verdict is Verdict.PASS
    assert kept is not None
    assert shown is not None
    assert kept.per_prompt == recorded.result.per_prompt
    assert set(kept.controls) == {"other_prompt", "black", "noise"}
    assert (shown.sides, list(shown.prompts)) == (("bf16", "fp8"), kept.prompts)
    (worst,) = (check.ceiling for check in recorded.judgement.checks if check.name == "lpips_worst")
    assert shown.ceiling == worst
    assert len(shown.reference) == len(shown.candidate) == len(shown.distances) == len(kept.prompts)
