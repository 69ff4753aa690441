"""The speed judge: what holds for any seconds (hypothesis), and that nothing unusable ever passes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mstats

from fixtures.catalog.common_limits import COMMON_LIMITS
from fixtures.catalog.schema import Limit
from fixtures.gates.base import Missing
from fixtures.gates.speed.intervals import (
    MINIMUM_ROUNDS,
    RatioEstimate,
    UnusableSamples,
    change,
    lower_quartile,
    paired_ratio,
    ratio_of_ratios,
    rounds_needed,
)
from fixtures.gates.speed.judge import (
    COST_QUANTITIES,
    COUNTS,
    DEVICE_ALIKE_ELSEWHERE,
    DEVICE_CHANGE,
    DEVICE_QUANTITIES,
    ENERGY,
    FIRST_CALL,
    LAUNCHES,
    LOADING,
    OPERATORS,
    QUANTIZING,
    REFERENCE_SECONDS,
    SLOW_CALLS,
    SPEEDUP_CHANGE,
    SPEEDUP_GAIN,
    WALL_QUANTITIES,
    decisive_floors,
    judge_costs,
    judge_speed,
    unrecorded,
)
from fixtures.gates.speed.result import SPEEDUP, Costs, DeviceRounds, Pairs, SpeedResult, Timings
from fixtures.gates.verdict import Cause, Check, Verdict, settle

SECONDS = st.floats(1e-6, 1e4)
PAIRS = st.lists(st.tuples(SECONDS, SECONDS), min_size=MINIMUM_ROUNDS, max_size=40)
UNUSABLE = st.sampled_from([0.0, -1.0, math.nan, math.inf, -math.inf])
NO_BASELINE = Missing(reason="speed depends on the CPU model", cause=Cause.NO_BASELINE, entitled=True)
RECORDING = Missing(reason="recording a new baseline", cause=Cause.RECORDING)


def limit(quantity: str, *, floor: float | None = None, ceiling: float | None = None) -> Limit:
    return Limit(gate="speed", quantity=quantity, unit="x", source="this test", floor=floor, ceiling=ceiling)


def night(reference: Sequence[float], measured: Sequence[float], **more: Any) -> SpeedResult:
    """A result of these rounds; baselines are told in the same words."""
    wall = Pairs(reference_seconds=list(reference), seconds=list(measured))
    return SpeedResult(**{"format": "fp8", "arithmetic": "native", **more}, wall=wall)


LIMITS = (
    limit(SPEEDUP, floor=1.2),
    limit(SPEEDUP_CHANGE, floor=0.93),
    limit(SLOW_CALLS, floor=0.8),
    limit(REFERENCE_SECONDS, ceiling=1.25),
)
HEALTHY = night((1.30, 1.31, 1.32, 1.33, 1.34, 1.35), (1.0, 1.01, 1.02, 1.0, 1.01, 1.03))


def judge(
    now: SpeedResult = HEALTHY, limits: Sequence[Limit] = LIMITS, before: Timings | Missing = HEALTHY
) -> list[Check]:
    return judge_speed(now, limits, before)


def but(**changes: Any) -> SpeedResult:
    """The healthy night with these changes."""
    return HEALTHY.model_copy(update=changes)


# ---- ratios and intervals ------------------------------------------------------------------------------------------


@given(pairs=PAIRS, scale=st.floats(1e-3, 1e3))
def test_a_faster_machine_leaves_the_ratio_and_its_interval_alone(
    pairs: list[tuple[float, float]], scale: float
) -> None:
    reference, measured = zip(*pairs, strict=True)
    plain = paired_ratio(reference, measured)
    scaled = paired_ratio([scale * r for r in reference], [scale * m for m in measured])
    assert [scaled.ratio, scaled.low, scaled.high] == pytest.approx([plain.ratio, plain.low, plain.high], rel=1e-6)


@given(pairs=PAIRS)
def test_the_interval_holds_the_ratio_and_swapping_the_sides_inverts_it(pairs: list[tuple[float, float]]) -> None:
    reference, measured = zip(*pairs, strict=True)
    forward, backward = paired_ratio(reference, measured), paired_ratio(measured, reference)
    assert forward.low <= forward.ratio <= forward.high
    assert [backward.ratio, backward.low, backward.high] == pytest.approx(
        [1 / forward.ratio, 1 / forward.high, 1 / forward.low], rel=1e-6
    )


@given(pairs=PAIRS, slowdown=st.floats(1.0, 10.0))
def test_a_slower_format_has_a_ratio_smaller_by_as_much(pairs: list[tuple[float, float]], slowdown: float) -> None:
    reference, measured = zip(*pairs, strict=True)
    slower = paired_ratio(reference, [slowdown * m for m in measured])
    assert slower.ratio == pytest.approx(paired_ratio(reference, measured).ratio / slowdown, rel=1e-9)


@given(pairs=PAIRS)
def test_equal_seconds_give_an_equal_interval_and_more_confidence_a_wider_one(pairs: list[tuple[float, float]]) -> None:
    reference, measured = zip(*pairs, strict=True)
    assert paired_ratio(reference, measured) == paired_ratio(reference, measured)
    assert paired_ratio(reference, measured, 0.99).half_width >= paired_ratio(reference, measured, 0.9).half_width


@given(seconds=st.lists(SECONDS, min_size=MINIMUM_ROUNDS, max_size=40))
def test_the_lower_quartile_is_harrell_and_davis(seconds: list[float]) -> None:
    assert lower_quartile(seconds) == pytest.approx(float(mstats.hdquantiles(np.array(seconds), [0.25])[0]), rel=1e-9)


def test_calls_that_disturb_both_sides_of_a_pair_cancel() -> None:
    load = np.linspace(1, 2, 20)
    together = paired_ratio(list(1.3 * load), list(1.0 * load))
    apart = paired_ratio(list(1.3 * load), list(1.0 * load[np.random.default_rng(0).permutation(20)]))
    assert together.half_width < 1e-9 < apart.half_width


@given(pairs=PAIRS, bad=UNUSABLE, at=st.integers(0), side=st.booleans())
def test_a_zero_or_no_number_anywhere_is_an_error_and_never_a_pass(
    pairs: list[tuple[float, float]], bad: float, at: int, side: bool
) -> None:
    columns = [list(column) for column in zip(*pairs, strict=True)]
    columns[side][at % len(pairs)] = bad
    broken = night(*columns)
    assert {check.verdict for check in judge(broken)} == {Verdict.ERROR}
    against_broken = settle(judge(before=broken))
    assert against_broken.verdict is Verdict.ERROR
    assert "record it again" in against_broken.message


@given(rounds=st.integers(0, MINIMUM_ROUNDS - 1))
def test_too_few_rounds_are_an_error(rounds: int) -> None:
    (check,) = judge(night((1.3,) * rounds, (1.0,) * rounds))
    assert check.verdict is Verdict.ERROR
    assert f"at least {MINIMUM_ROUNDS} are needed" in check.note


def test_unpaired_rounds_are_an_error() -> None:
    with pytest.raises(UnusableSamples, match="6 reference rounds and 5 format rounds are no pairs"):
        paired_ratio([1.0] * 6, [1.0] * 5)


@given(pairs=PAIRS, floor=st.floats(0.01, 100))
def test_the_whole_interval_decides(pairs: list[tuple[float, float]], floor: float) -> None:
    (check,) = judge(night(*zip(*pairs, strict=True)), [limit(SPEEDUP, floor=floor)])
    assert check.interval is not None
    low, high = check.interval
    expected = Verdict.PASS if low >= floor else Verdict.FAIL if high < floor else Verdict.UNSURE
    assert check.verdict is expected


def test_a_healthy_run_passes_every_check() -> None:
    now = but(device=DeviceRounds(**HEALTHY.wall.model_dump()))
    judged = [quantity for quantity in (*WALL_QUANTITIES, *DEVICE_QUANTITIES) if quantity != DEVICE_ALIKE_ELSEWHERE]
    narrow = [limit(quantity, floor=0.9) for quantity in DEVICE_QUANTITIES]
    checks = judge(now, [*LIMITS, limit(SPEEDUP_GAIN, ceiling=1.2), *narrow], now)
    assert {check.name: check.verdict for check in checks} == dict.fromkeys(judged, Verdict.PASS)


def test_another_hosts_baseline_without_enough_rounds_is_an_error_of_its_own() -> None:
    short = night((1.0,) * 3, (1.0,) * 3, device=on_device(0.5, THERE))
    (check,) = judge(but(device=on_device(0.5, HERE)), [limit(SPEEDUP_CHANGE, floor=0.9)], short)
    assert check.verdict is Verdict.ERROR
    assert "3 reference rounds" in check.note


HERE, THERE = ["GPU-1"], ["GPU-9"]


def on_device(share: float, gpus: list[str]) -> DeviceRounds:
    """The healthy rounds, of which the GPU computes this share."""
    return DeviceRounds(
        reference_seconds=[share * s for s in HEALTHY.wall.reference_seconds],
        seconds=[share * s for s in HEALTHY.wall.seconds],
        gpus=gpus,
    )


@pytest.mark.parametrize(
    ("share", "before", "gpus", "judged"),
    [
        (0.5, 0.5, THERE, False),
        (0.5, 0.5, HERE, True),
        (0.9, 0.9, THERE, True),
        (0.5, 0.9, THERE, False),
        (0.9, 0.5, THERE, False),
    ],
)
def test_the_wall_of_a_call_that_waits_for_its_host_is_not_compared_with_another_hosts(
    share: float, before: float, gpus: list[str], judged: bool
) -> None:
    checks = judge(
        but(device=on_device(share, HERE)),
        [limit(SPEEDUP_CHANGE, floor=0.9), limit(SLOW_CALLS, floor=0.9), limit(SPEEDUP, floor=1.0)],
        but(device=on_device(before, gpus)),
    )
    expected = Verdict.PASS if judged else Verdict.SKIP
    assert [check.verdict for check in checks] == [expected, expected, Verdict.PASS]
    if not judged:
        assert f"the GPU computes for only {share:.0%} of the call ({before:.0%} in the baseline)" in checks[0].note
        assert "record one on this host" in checks[0].note


def test_the_message_names_both_their_rounds_and_the_arithmetic() -> None:
    (check,) = judge(but(arithmetic="emulated", format="nvfp4"), [limit(SPEEDUP, floor=1.2)])
    assert "bf16 1.31 s, nvfp4 1 s, 6 rounds; emulated: what the emulation costs, no hardware speedup" in check.note


def test_bf16_that_got_slower_is_named_though_the_ratio_stands() -> None:
    slower = night([1.5 * s for s in HEALTHY.wall.reference_seconds], [1.5 * s for s in HEALTHY.wall.seconds])
    judgement = settle(judge(slower))
    assert judgement.verdict is Verdict.FAIL
    assert judgement.message.startswith(f"{REFERENCE_SECONDS} 1.5x")


@pytest.mark.parametrize(("entitled", "verdict"), [(True, Verdict.SKIP), (False, Verdict.FAIL)])
def test_without_a_baseline_the_floor_still_judges_and_the_rest_says_why_not(entitled: bool, verdict: Verdict) -> None:
    floor, *rest = judge(before=replace(NO_BASELINE, entitled=entitled))
    assert floor.verdict is Verdict.PASS
    assert {(check.verdict, check.note) for check in rest} == {(verdict, NO_BASELINE.reason)}


def test_while_recording_the_floor_judges_and_nothing_is_skipped() -> None:
    every = [*LIMITS, *(limit(quantity, floor=0.9) for quantity in (*DEVICE_QUANTITIES, *COST_QUANTITIES))]
    (check,) = judge(but(device=on_device(0.9, HERE)), every, RECORDING)
    assert (check.name, check.verdict) == (SPEEDUP, Verdict.PASS)
    # What could not be measured is not recorded: every later night would lack it.
    _, *absent = judge(but(no_device="CUPTI is held"), every, RECORDING)
    assert {(check.verdict, check.note) for check in absent} == {(Verdict.ERROR, "CUPTI is held")}


def test_a_disturbed_machine_gives_no_number() -> None:
    (check,) = judge(but(disturbance="other processes took 90 % of this machine"))
    assert (check.verdict, check.value, check.cause) == (Verdict.ERROR, None, Cause.DISTURBED)


def test_a_case_without_limits_is_an_error() -> None:
    (check,) = judge(limits=())
    assert (check.verdict, check.cause) == (Verdict.ERROR, Cause.NO_LIMIT)


def test_an_unknown_quantity_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="knows no quantity 'latency'; choose one of: speedup,"):
        judge(limits=[limit("latency", floor=1.0)])


# ---- undecided on the wall -----------------------------------------------------------------------------------------

SLOWER = [s * w for s, w in zip(HEALTHY.wall.seconds, (1.0, 1.4, 1.0, 1.4, 1.0, 1.4), strict=True)]
"""The host made every other call of the format longer, which leaves the speedup undecided."""
RULERS = [
    limit(SPEEDUP_CHANGE, floor=0.93),
    limit(DEVICE_CHANGE, floor=0.97),
    *(limit(count, ceiling=1.05) for count in COUNTS),
]


def undecided(now: Costs | None, then: Costs | None, limits: Sequence[Limit] = RULERS, **changes: Any) -> Check:
    """The speedup's check of a night that the host made undecided, with these costs."""
    wall = Pairs(seconds=SLOWER, reference_seconds=HEALTHY.wall.reference_seconds)
    tonight = {"wall": wall, "device": on_device(0.5, HERE), "costs": now, **changes}
    return judge(but(**tonight), limits, but(device=on_device(0.5, HERE), costs=then))[0]


def test_what_the_host_left_undecided_is_a_remark_while_device_and_counts_agree() -> None:
    counted = Costs(**COSTS)
    check = undecided(counted, counted)
    assert (check.verdict, check.cause) == (Verdict.PASS, None)
    assert check.note.startswith("undecided on the wall; device seconds and counts are the baseline's; bf16 ")
    assert check.interval is not None
    assert check.interval[0] < 0.93


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ({"operators": 2001}, {}),
        ({"kernel_launches": 97}, {}),
        ({}, {"operators": None}),
        ({}, {"kernel_launches": None}),
        (None, {}),
        (None, None),
    ],
)
def test_it_stays_undecided_where_a_count_grew_or_was_not_taken_on_both_sides(
    now: dict[str, Any] | None, then: dict[str, Any] | None
) -> None:
    tonight, stored = (None if one is None else Costs(**{**COSTS, **one}) for one in (now, then))
    assert undecided(tonight, stored).verdict is Verdict.UNSURE


def test_it_stays_undecided_without_device_seconds_that_agree() -> None:
    counted = Costs(**COSTS)
    slow = on_device(0.5, HERE).model_copy(update={"seconds": [0.52 * s for s in HEALTHY.wall.seconds]})
    assert undecided(counted, counted, device=slow).verdict is Verdict.UNSURE
    assert undecided(counted, counted, device=None).verdict is Verdict.UNSURE
    assert undecided(counted, counted, limits=[RULERS[0], *RULERS[2:]]).verdict is Verdict.UNSURE


def test_a_proven_loss_on_the_wall_and_the_published_floor_are_judged_whatever_counts_say() -> None:
    counted = Costs(**COSTS)
    slow = Pairs(seconds=[1.2 * s for s in HEALTHY.wall.seconds], reference_seconds=HEALTHY.wall.reference_seconds)
    assert undecided(counted, counted, wall=slow).verdict is Verdict.FAIL
    floor = [limit(SPEEDUP, floor=1.2), *RULERS[1:]]
    assert undecided(counted, counted, limits=floor).verdict is Verdict.UNSURE


# ---- how many rounds -----------------------------------------------------------------------------------------------


ESTIMATES = st.builds(
    lambda ratio, half, rounds: RatioEstimate(
        ratio=ratio,
        low=ratio * math.exp(-half),
        high=ratio * math.exp(half),
        rounds=rounds,
        confidence=0.95,
        estimator="any",
    ),
    st.floats(0.1, 10),
    st.floats(0, 2),
    st.integers(MINIMUM_ROUNDS, 50),
)


@given(
    pilot=ESTIMATES,
    floors=st.lists(st.floats(0.1, 10), max_size=3),
    half_width=st.floats(1e-4, 1),
    minimum=st.integers(1, 50),
    more=st.integers(0, 200),
)
def test_rounds_stay_within_their_bounds_and_a_wider_interval_needs_no_more(
    pilot: RatioEstimate, floors: list[float], half_width: float, minimum: int, more: int
) -> None:
    def needed(width: float) -> int:
        return rounds_needed(pilot, floors=floors, half_width=width, minimum=minimum, maximum=minimum + more)

    assert minimum <= needed(half_width) <= minimum + more
    assert needed(2 * half_width) <= needed(half_width)


def test_rounds_grow_with_the_square_of_the_width_unless_the_pilot_is_clear_of_the_floor() -> None:
    pilot = RatioEstimate(
        ratio=1.5, low=1.5 * math.exp(-0.08), high=1.5 * math.exp(0.08), rounds=8, confidence=0.95, estimator="any"
    )
    assert _needed(pilot) == pytest.approx(8 * (0.08 / 0.02) ** 2, abs=1)
    assert _needed(pilot, 1.49) == _needed(pilot)
    # Clear of the floor by 0.1278 in logarithms, of which the pilot's own width takes 0.08.
    assert _needed(pilot, 1.32, 0.5) == pytest.approx(8 * (0.08 / 0.0478) ** 2, abs=1)
    assert _needed(pilot, 0.5) == 5


def _needed(pilot: RatioEstimate, *floors: float) -> int:
    return rounds_needed(pilot, floors=floors, half_width=0.02, minimum=5, maximum=500)


@pytest.mark.parametrize(("half_width", "minimum", "maximum"), [(0.0, 5, 10), (0.02, 0, 10), (0.02, 11, 10)])
def test_impossible_bounds_are_refused(half_width: float, minimum: int, maximum: int) -> None:
    pilot = HEALTHY.wall.ratio()
    with pytest.raises(ValueError, match="give a positive half-width and 1 <= minimum <= maximum"):
        rounds_needed(pilot, half_width=half_width, minimum=minimum, maximum=maximum)


def test_floors_that_decide_are_the_limits_and_both_ends_of_the_baselines_margin() -> None:
    recorded = HEALTHY.wall.ratio(0.975)
    assert decisive_floors(LIMITS, HEALTHY) == pytest.approx((1.2, 0.93 * recorded.low, 0.93 * recorded.high))
    assert decisive_floors(LIMITS, NO_BASELINE) == (1.2,)
    assert decisive_floors(LIMITS, night((), ())) == (1.2,)


@given(now=ESTIMATES, then=ESTIMATES)
def test_two_ratios_are_less_sure_than_either(now: RatioEstimate, then: RatioEstimate) -> None:
    both = ratio_of_ratios(now, then)
    assert both.ratio == pytest.approx(now.ratio / then.ratio)
    assert both.half_width >= max(now.half_width, then.half_width) * (1 - 1e-9) - 1e-12


@given(seconds=st.lists(SECONDS, min_size=MINIMUM_ROUNDS, max_size=20), factor=st.floats(0.1, 10))
def test_a_series_changes_by_the_factor_that_it_changed_by(seconds: list[float], factor: float) -> None:
    found = change([factor * s for s in seconds], seconds)
    assert found.ratio == pytest.approx(factor)
    assert found.low <= found.ratio <= found.high


# ---- what a call costs besides time --------------------------------------------------------------------------------

COSTS: dict[str, Any] = {
    "first_call_seconds": 22.66,
    "cache_misses": 3,
    "joules": 71.9,
    "reference_joules": 92.05,
    "graph_launches": 57,
    "kernel_launches": 96,
    "operators": 2000,
    "load_seconds": 4.0,
    "quantize_seconds": 1.5,
}
"""FLUX.1-dev in fp8 on one H200 (baselines/hopper/flux1-dev/fp8-random-bs1-reduce-overhead.json); made-up numbers of
what no baseline has yet."""
COST_LIMITS = {limit.quantity: limit for limit in COMMON_LIMITS if limit.quantity in COST_QUANTITIES}


def costs(before: dict[str, Any] | Missing | None = COSTS, **changes: Any) -> dict[str, Check]:
    """The checks of a night that differs from the baseline in `changes`."""
    if not isinstance(before, Missing):
        then: Timings | Missing = but(costs=None if before is None else Costs(**before))
    else:
        then = before
    found = judge_costs(Costs(**{**COSTS, **changes}), COST_LIMITS.values(), then)
    return {check.name: check for check in found}


def test_the_same_costs_pass() -> None:
    assert {name: check.verdict for name, check in costs().items()} == dict.fromkeys(COST_QUANTITIES, Verdict.PASS)


@pytest.mark.parametrize(
    ("changes", "red", "said"),
    [
        ({"graph_launches": 0, "kernel_launches": 1199}, LAUNCHES, "57 graphs and 96 kernels -> 0 graphs and 1199"),
        ({"graph_launches": 114}, LAUNCHES, "114 graphs"),
        ({"operators": 2041}, OPERATORS, "2000 operators -> 2041 operators"),
        ({"joules": 92.0}, ENERGY, "92 J of bf16's 92.05 J"),
        ({"first_call_seconds": 80.0}, FIRST_CALL, "22.7 s, cold cache -> 80.0 s, cold cache"),
        ({"first_call_seconds": 80.0, "cache_misses": 0}, FIRST_CALL, "80.0 s, warm cache"),
    ],
)
def test_a_cost_that_grew_is_red_alone_and_says_from_what(changes: dict[str, Any], red: str, said: str) -> None:
    found = costs(**changes)
    assert [name for name, check in found.items() if check.verdict is Verdict.FAIL] == [red]
    assert said in found[red].sentence()


def test_loading_that_takes_longer_is_told_until_nights_have_set_its_ceiling() -> None:
    check = costs(load_seconds=12.0)[LOADING]
    assert (check.verdict, check.value) == (Verdict.PASS, 3.0)
    assert "moved beyond 2, a limit that no nights have set yet; 4.0 s -> 12.0 s" in check.note


def test_a_hotter_gpu_that_costs_both_alike_changes_nothing() -> None:
    hot = costs(joules=71.9 * 1.3, reference_joules=92.05 * 1.3)[ENERGY]
    assert hot.verdict is Verdict.PASS
    assert hot.value == pytest.approx(1.0)


def test_a_cold_night_is_not_held_against_a_warm_baseline() -> None:
    cold = costs({**COSTS, "first_call_seconds": 6.0, "cache_misses": 0}, first_call_seconds=22.0)[FIRST_CALL]
    assert cold.verdict is Verdict.SKIP
    assert "record it again with a cold one" in cold.note


@pytest.mark.parametrize(
    ("absent", "red"),
    [
        ("joules", ENERGY),
        ("kernel_launches", LAUNCHES),
        ("operators", OPERATORS),
        ("first_call_seconds", FIRST_CALL),
        ("load_seconds", LOADING),
        ("quantize_seconds", QUANTIZING),
    ],
)
def test_what_the_baseline_knew_and_tonight_did_not_tell_is_an_error(absent: str, red: str) -> None:
    found = costs(**{absent: None})
    assert [name for name, check in found.items() if check.verdict is Verdict.ERROR] == [red]


def test_what_the_baseline_never_knew_is_not_judged_and_a_refused_one_stands_for_every_cost() -> None:
    assert costs({**COSTS, "joules": None}).keys() == {*COST_QUANTITIES} - {ENERGY}
    assert costs(None) == {}
    before = Costs(**{**COSTS, "operators": None, "load_seconds": None})
    assert unrecorded(Costs(**COSTS), COST_LIMITS.values(), before) == [OPERATORS, LOADING]
    assert unrecorded(None, COST_LIMITS.values(), before) == []
    refused = costs(NO_BASELINE)
    assert {name: check.verdict for name, check in refused.items()} == dict.fromkeys(COST_QUANTITIES, Verdict.SKIP)
