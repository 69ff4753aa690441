"""Properties of the gates that compare numbers: worse is never greener, and what is no number never passes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fixtures.catalog.schema import Limit
from fixtures.gates.closeness import (
    QUALITY_DRIFT,
    VELOCITY_MEAN_MARGIN_DB,
    VELOCITY_STEP_MARGIN_DB,
    judge_flicker,
    judge_quality,
    judge_quality_drift,
    judge_reference,
    judge_sound_to_stored,
    judge_unlike,
    judge_velocity,
    judge_velocity_drift,
)
from fixtures.gates.verdict import Check, Verdict, settle

CEILING = 0.1
MEAN = Limit(gate="quality", quantity="lpips_mean", unit="LPIPS", ceiling=CEILING, source="a test's own")
WORST = Limit(gate="quality", quantity="lpips_worst", unit="LPIPS", ceiling=2 * CEILING, source="a test's own")
STORED = Limit(gate="reference", quantity="lpips_to_stored", unit="LPIPS", ceiling=CEILING, source="a test's own")
FLOOR = Limit(gate="velocity", quantity="sqnr_worst_step", unit="dB", floor=12.0, source="a test's own")
BROKEN = {"black": [0.9, 0.8], "noise": [1.1, 1.2]}

distances = st.lists(st.floats(0, 1), min_size=1, max_size=8)
decibels = st.lists(st.floats(-20, 60), min_size=1, max_size=8)
not_numbers = st.sampled_from([math.nan, math.inf, -math.inf])
places = st.integers(0, 7)


def passes(checks: Sequence[Check] | Check) -> bool:
    """Whether a gate with these checks is green."""
    return settle([checks] if isinstance(checks, Check) else checks).verdict is Verdict.PASS


def put(values: list[float], place: int, value: float) -> list[float]:
    """The values with one of them replaced."""
    return [value if index == place % len(values) else old for index, old in enumerate(values)]


def quality(values: Sequence[float]) -> list[Check]:
    """The quality gate's checks without a baseline."""
    return judge_quality(distances=values, controls=BROKEN, mean=MEAN, worst=WORST)


# ---- quality -------------------------------------------------------------------------------------------------------


@given(values=distances)
def test_quality_passes_exactly_within_both_ceilings(values: list[float]) -> None:
    mean = math.fsum(values) / len(values)
    assume(abs(mean - CEILING) > 1e-12)
    assert passes(quality(values)) == (mean <= CEILING and max(values) <= 2 * CEILING)


@given(values=distances, place=places, value=not_numbers)
def test_one_distance_that_is_no_number_never_passes(values: list[float], place: int, value: float) -> None:
    broken = put(values, place, value)
    assert not passes(quality(broken))
    assert not passes(judge_quality_drift(distances=broken, stored=[1.0], unit="LPIPS"))
    assert not passes(judge_reference(distances=broken, stored=len(broken), mean=STORED))


@given(values=distances, place=places, more=st.floats(0, 1))
def test_a_picture_that_gets_worse_makes_nothing_greener(values: list[float], place: int, more: float) -> None:
    worse = put(values, place, values[place % len(values)] + more)
    for judge in (
        quality,
        lambda found: judge_quality_drift(distances=found, stored=[0.05], unit="LPIPS"),
        lambda found: judge_reference(distances=found, stored=len(values), mean=STORED),
    ):
        assert passes(judge(values)) or not passes(judge(worse))


@given(control=st.floats(0, 1), factor=st.sampled_from([1.0, 2.0]))
def test_a_ceiling_that_would_let_a_broken_picture_pass_is_red(control: float, factor: float) -> None:
    mean = dataclasses.replace(MEAN, control_factor=factor)
    checks = judge_quality(distances=[0.0], controls={"black": [control]}, mean=mean, worst=None)
    assert passes(checks) == (control >= factor * CEILING)


@given(value=not_numbers)
def test_a_control_that_is_no_number_never_passes(value: float) -> None:
    assert not passes(judge_quality(distances=[0.0], controls={"black": [0.9, value]}, mean=MEAN, worst=None))


def test_no_picture_and_no_control_never_pass() -> None:
    assert not passes(judge_quality(distances=[], controls=BROKEN, mean=MEAN, worst=WORST))
    assert not passes(judge_quality(distances=[0.0], controls={}, mean=MEAN, worst=WORST))
    assert not passes(judge_quality_drift(distances=[], stored=[0.1], unit="LPIPS"))
    assert not passes(judge_quality_drift(distances=[0.1], stored=[], unit="LPIPS"))
    assert not passes(judge_reference(distances=[], stored=0, mean=STORED))


def test_without_a_published_ceiling_quality_leaves_the_verdict_to_the_baseline() -> None:
    assert judge_quality(distances=[0.2], controls=BROKEN, mean=None, worst=None) == []
    assert not passes(judge_quality(distances=[0.2], controls=BROKEN, mean=None, worst=None))


@given(stored=st.floats(1e-6, 1), factor=st.floats(0, 3))
def test_drift_is_a_factor_of_the_baseline(stored: float, factor: float) -> None:
    assume(abs(factor - QUALITY_DRIFT) > 1e-9)
    check = judge_quality_drift(distances=[stored * factor], stored=[stored], unit="LPIPS")
    assert passes(check) == (factor < QUALITY_DRIFT)


@given(stored=st.floats(1e-6, 1), factor=st.floats(0, 3))
def test_a_models_own_drift_takes_the_place_of_the_common_one(stored: float, factor: float) -> None:
    assume(abs(factor - 1.8) > 1e-9)
    limit = Limit(gate="quality", quantity="drift", unit="x", source="a test's own", ceiling=1.8)
    check = judge_quality_drift(distances=[stored * factor], stored=[stored], unit="LPIPS", limit=limit)
    assert passes(check) == (factor < 1.8)


# ---- reference -----------------------------------------------------------------------------------------------------


@given(values=distances, missing=st.integers(1, 3))
def test_every_stored_picture_has_to_be_drawn(values: list[float], missing: int) -> None:
    assert not passes(judge_reference(distances=values, stored=len(values) + missing, mean=STORED))


@given(values=distances)
def test_the_worst_picture_decides(values: list[float]) -> None:
    assert passes(judge_reference(distances=values, stored=len(values), mean=STORED)) == (max(values) <= CEILING)


@given(shares=distances)
def test_the_picture_with_most_unlike_values_decides(shares: list[float]) -> None:
    ceiling = dataclasses.replace(STORED, quantity="values_unlike_stored", unit="%")
    assert passes(judge_unlike(shares=shares, ceiling=ceiling)) == (max(shares) <= CEILING)
    assert not passes(judge_unlike(shares=[*shares, math.nan], ceiling=ceiling))
    assert not passes(judge_unlike(shares=[], ceiling=ceiling))
    assert judge_unlike(shares=shares, ceiling=None) == []


def test_a_reference_without_a_ceiling_is_an_error_that_says_where_to_write_one() -> None:
    (check,) = judge_reference(distances=[0.0], stored=1, mean=None)
    assert check.verdict is Verdict.ERROR
    assert "add one to the model's catalog file" in check.note


# ---- velocity ------------------------------------------------------------------------------------------------------


@given(values=decibels)
def test_the_worst_step_decides(values: list[float]) -> None:
    assert passes(judge_velocity(per_step_db=values, floor=FLOOR)) == (min(values) >= 12.0)


@given(values=decibels, place=places, value=not_numbers)
def test_one_step_that_is_no_number_never_passes(values: list[float], place: int, value: float) -> None:
    broken = put(values, place, value)
    assert not passes(judge_velocity(per_step_db=broken, floor=FLOOR))
    assert not passes(judge_velocity_drift(per_step_db=broken, stored=values))


@given(values=decibels, place=places, loss=st.floats(0, 30))
def test_a_step_that_gets_worse_makes_nothing_greener(values: list[float], place: int, loss: float) -> None:
    worse = put(values, place, values[place % len(values)] - loss)
    stored = [value + 0.1 for value in values]
    assert passes(judge_velocity(per_step_db=values, floor=FLOOR)) or not passes(
        judge_velocity(per_step_db=worse, floor=FLOOR)
    )
    assert passes(judge_velocity_drift(per_step_db=values, stored=stored)) or not passes(
        judge_velocity_drift(per_step_db=worse, stored=stored)
    )


@given(values=decibels, loss=st.floats(0, 5))
def test_an_even_loss_beyond_the_margin_of_the_mean_is_red(values: list[float], loss: float) -> None:
    assume(abs(loss - VELOCITY_MEAN_MARGIN_DB) > 1e-6)
    checks = judge_velocity_drift(per_step_db=[value - loss for value in values], stored=values)
    assert passes(checks) == (loss < VELOCITY_MEAN_MARGIN_DB)


@given(place=places, loss=st.floats(0, 20))
def test_one_step_may_lose_more_than_the_mean_and_not_much_more(place: int, loss: float) -> None:
    stored = [20.0] * 80
    checks = judge_velocity_drift(per_step_db=put(stored, place, 20.0 - loss), stored=stored)
    assume(abs(loss - VELOCITY_STEP_MARGIN_DB) > 1e-6)
    assert passes(checks) == (loss < VELOCITY_STEP_MARGIN_DB)


@given(values=decibels, change=st.integers(-3, 3))
def test_another_number_of_steps_never_passes(values: list[float], change: int) -> None:
    stored = (values * 4)[: max(0, len(values) + change)]
    assert passes(judge_velocity_drift(per_step_db=values, stored=stored)) == (len(stored) == len(values))


def test_no_step_never_passes() -> None:
    assert not passes(judge_velocity(per_step_db=[], floor=FLOOR))
    assert not passes(judge_velocity(per_step_db=[], floor=None))
    assert not passes(judge_velocity_drift(per_step_db=[], stored=[]))


def test_without_a_floor_the_baseline_judges_alone() -> None:
    assert judge_velocity(per_step_db=[15.0], floor=None) == []


@pytest.mark.parametrize("bound", [MEAN, STORED])
def test_checks_carry_the_source_of_their_limit(bound: Limit) -> None:
    checks = quality([0.0]) if bound is MEAN else judge_reference(distances=[0.0], stored=1, mean=bound)
    assert checks[0].source == "a test's own"


def test_a_video_is_judged_by_its_worst_frame_and_not_by_its_worst_mean() -> None:
    mean, worst = (
        Limit(gate="quality", quantity=name, unit="LPIPS", source="a test's own", ceiling=ceiling)
        for name, ceiling in (("lpips_mean", 0.1), ("lpips_worst", 0.2))
    )
    controls = {"black": [0.9]}
    healthy = judge_quality(distances=[0.05], controls=controls, mean=mean, worst=worst, frames=[0.01, 0.15])
    broken = judge_quality(distances=[0.05], controls=controls, mean=mean, worst=worst, frames=[0.01, 0.4])
    assert settle(healthy).verdict is Verdict.PASS
    assert "lpips_worst 0.4 LPIPS above ceiling 0.2 LPIPS (worst of 2 frames" in settle(broken).message


@given(worst=st.lists(st.floats(0, 5), min_size=1), control=st.floats(0, 10))
def test_flicker_passes_only_below_its_ceiling_and_only_where_the_control_shows(
    worst: list[float], control: float
) -> None:
    ceiling = Limit(gate="quality", quantity="flicker_worst", unit="%", source="a test's own", ceiling=2.0)
    found = settle(judge_flicker(worst=worst, control=[control], ceiling=ceiling)).verdict
    assert (found is Verdict.PASS) == (max(worst) <= 2.0 and control >= 4.0)


def test_a_flicker_that_was_not_measured_never_passes() -> None:
    ceiling = Limit(gate="quality", quantity="flicker_worst", unit="%", source="a test's own", ceiling=2.0)
    assert settle(judge_flicker(worst=[], control=[9.0], ceiling=ceiling)).verdict is Verdict.ERROR
    assert judge_flicker(worst=[1.0], control=[9.0], ceiling=None) == []


def test_a_sound_is_held_against_its_stored_levels() -> None:
    ceiling = Limit(gate="reference", quantity="sound_to_stored", unit="dB", source="a test's own", ceiling=0.05)
    stored = [-20.0, -40.0]
    assert judge_sound_to_stored(levels=stored, stored=stored, ceiling=ceiling).verdict is Verdict.PASS
    assert judge_sound_to_stored(levels=[-20.0, -40.1], stored=stored, ceiling=ceiling).verdict is Verdict.FAIL
    assert judge_sound_to_stored(levels=[math.nan, -40.0], stored=stored, ceiling=ceiling).verdict is Verdict.ERROR
    assert judge_sound_to_stored(levels=[-20.0], stored=stored, ceiling=ceiling).verdict is Verdict.ERROR
    assert judge_sound_to_stored(levels=stored, stored=stored, ceiling=None).verdict is Verdict.ERROR
