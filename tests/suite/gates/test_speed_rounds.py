"""Interleaved rounds on a clock that calls move, and through pytest-benchmark itself: nothing here depends on how fast
this machine is."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from fixtures.catalog.schema import Limit
from fixtures.gates.base import Missing
from fixtures.gates.speed.judge import judge_speed
from fixtures.gates.speed.result import SPEEDUP, SpeedResult
from fixtures.gates.speed.rounds import CannotTime, Clock, RoundPlan, TimedRounds, interleaved_rounds
from fixtures.gates.verdict import Cause, Judgement, Verdict, settle
from tests.suite.speed_timer import FakeTimer

pytest_plugins = ["pytester"]
UNRECORDED = Missing(reason="no baseline in this test", cause=Cause.NO_BASELINE, entitled=True)


def timed(
    bf16: tuple[float, ...] = (1.3,),
    fp8: tuple[float, ...] = (1.0,),
    *,
    timer: FakeTimer | None = None,
    plan: RoundPlan | None = None,
    **more: Any,
) -> TimedRounds:
    """Rounds of calls that take these seconds."""
    timer = timer or FakeTimer()
    slow, fast = timer.taking(*bf16, name="bf16"), timer.taking(*fp8, name="fp8")
    return interleaved_rounds(timer, slow, fast, plan=plan or RoundPlan(floors=(1.2,)), **more)


def judged(rounds: TimedRounds, floor: float) -> Judgement:
    """Against one floor alone."""
    now = SpeedResult(format="fp8", arithmetic="native", wall=rounds.pairs, disturbance=rounds.disturbance)
    limit = Limit(gate="speed", quantity=SPEEDUP, unit="x", source="a test", floor=floor)
    return settle(judge_speed(now, [limit], UNRECORDED))


def test_a_clear_speedup_passes_and_a_lost_one_fails_and_says_by_how_much() -> None:
    clear = timed((1.3, 1.31), (1.0, 1.01))
    assert judged(clear, 1.2).verdict is Verdict.PASS
    assert len(clear.pairs.seconds) == RoundPlan().minimum
    lost = judged(timed((1.3, 1.31), (1.2, 1.21)), 1.2)
    assert lost.verdict is Verdict.FAIL
    assert lost.message.startswith("speedup 1.08")
    assert "] below floor 1.2x (bf16 1.3 s, fp8 1.2 s, 10 rounds)" in lost.message


def test_noise_across_the_floor_stays_unsure_after_the_most_rounds() -> None:
    plan = RoundPlan(floors=(1.45,), maximum=30)
    noisy = timed((1.3,), (0.8, 1.2, 0.9, 1.1, 1.0), plan=plan)
    assert judged(noisy, 1.45).verdict is Verdict.UNSURE
    assert "straddles floor 1.45x" in judged(noisy, 1.45).message
    assert len(noisy.pairs.seconds) == 30


def test_an_undecided_first_look_spends_the_rest_of_the_budget_on_a_second() -> None:
    asked, heard = [], list[tuple[int, int]]()

    def undecided(pairs: Any) -> bool:
        asked.append(len(pairs.seconds))
        return True

    timer = FakeTimer()
    both = timed(timer=timer, plan=RoundPlan(maximum=25), undecided=undecided, progress=lambda *n: heard.append(n))
    assert (asked, both.looks, heard[-1]) == ([10], 2, (25, 25))
    assert len(both.pairs.seconds) == len(both.pairs.reference_seconds) == len(timer.stats.stats.data) == 25
    one = timed(undecided=lambda pairs: False)
    assert (one.looks, len(one.pairs.seconds)) == (1, 10)


def test_progress_hears_each_round() -> None:
    heard: list[tuple[int, int]] = []
    timed(progress=lambda *n: heard.append(n))
    assert heard == [(n, 10) for n in range(11)]


@pytest.mark.parametrize("sizes", [{"pilot_rounds": 4}, {"minimum": 4}, {"minimum": 20, "maximum": 19}])
def test_a_plan_too_small_for_an_interval_is_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="no stage can have fewer than 5"):
        RoundPlan(**sizes)  # type: ignore[arg-type]


def test_the_budget_bounds_the_rounds_of_slow_calls() -> None:
    plan = RoundPlan(floors=(1.45,), minimum=6, budget_seconds=60)
    assert len(timed((130,), (80, 120, 90, 110, 100), plan=plan).pairs.seconds) == 6


def test_calls_take_turns_and_the_order_swaps_halfway() -> None:
    timer, steps = FakeTimer(), tuple(range(1, 100))
    plan = RoundPlan(pilot_rounds=5, minimum=6, maximum=7, budget_seconds=1e6, warmup_rounds=1)
    found = timed(steps, steps, timer=timer, plan=plan)
    assert timer.log[12:] == ["bf16", "fp8"] * 4 + ["fp8", "bf16"] * 3
    assert found.pairs.reference_seconds == found.pairs.seconds == [8, 9, 10, 11, 12, 13]
    assert found.pilot.reference_seconds == found.pilot.seconds == [2, 3, 4, 5, 6]


def test_calls_that_fill_the_budget_at_the_minimum_have_no_pilot_beyond_one_round() -> None:
    timer = FakeTimer()
    plan = RoundPlan(pilot_rounds=5, minimum=6, maximum=60, budget_seconds=13, warmup_rounds=1)
    found = timed((1.0,), (1.0,), timer=timer, plan=plan)
    assert timer.log[:4] == ["bf16", "fp8"] * 2
    assert (len(found.pilot.seconds), len(found.pairs.seconds)) == (1, 6)


def test_waiting_for_the_accelerator_belongs_to_both_timed_calls() -> None:
    timer = FakeTimer()
    found = timed((1.0,), (1.0,), timer=timer, synchronize=timer.taking(1.0))
    assert set(found.pairs.seconds) == set(found.pairs.reference_seconds) == {2.0}


def test_the_clock_of_the_timer_is_put_around_both_calls_and_says_what_disturbs() -> None:
    timer, inside = FakeTimer(), list[str]()

    def around(call: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            result = call()
            inside.append(timer.log[-1])
            return result

        return run

    timer.clock = Clock(now=timer.clock.now, around=around, disturbed=lambda window: "others were busy")
    assert timed(timer=timer).disturbance == "others were busy"
    assert inside == timer.log


def test_neither_call_sees_a_tracer_or_a_collection_and_both_are_back_afterwards() -> None:
    timer, seen = FakeTimer(), set[object]()
    fast, before = timer.taking(1.0), sys.gettrace()

    def tracer(*_: object) -> None:
        return None

    def watching() -> None:
        seen.update({sys.gettrace(), gc.isenabled()})
        fast()

    sys.settrace(tracer)
    try:
        interleaved_rounds(timer, watching, watching, plan=RoundPlan())
        after = sys.gettrace()
    finally:
        sys.settrace(before)
    assert seen == {None, False}
    assert after is tracer
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_memory_is_steady_again_after_a_call_that_raises() -> None:
    def broken() -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        interleaved_rounds(FakeTimer(), broken, broken, plan=RoundPlan())
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_clock_that_stands_still_and_a_timer_that_is_off_time_nothing() -> None:
    with pytest.raises(CannotTime, match="the timed calls hold no speedup: reference seconds hold 0"):
        timed((0.0,), (0.0,))
    with pytest.raises(CannotTime, match=r"pytest-benchmark is off, .*run without --benchmark-disable"):
        timed(timer=FakeTimer(disabled=True))


# ---- pytest-benchmark itself ---------------------------------------------------------------------------------------

REAL = """
import pytest
from fixtures.gates.speed.rounds import Clock, RoundPlan, interleaved_rounds
from tests.suite.speed_timer import FakeTimer

FAKE = FakeTimer()
now = FAKE.clock.now

@pytest.mark.benchmark(timer=now)
def test_fake(benchmark):
    benchmark.clock = FAKE.clock
    interleaved_rounds(
        benchmark, FAKE.taking(1.5), FAKE.taking(1.0), plan=RoundPlan(maximum=25), undecided=lambda pairs: True
    )

def test_real(benchmark):
    work = lambda: sum(range(1000))
    plan = RoundPlan(pilot_rounds=5, minimum=5, maximum=7)
    pairs = interleaved_rounds(benchmark, work, work, plan=plan).pairs
    assert 5 <= len(pairs.seconds) == len(pairs.reference_seconds) <= 7
    assert min(pairs.seconds + pairs.reference_seconds) > 0

@pytest.mark.benchmark(timer=now)
def test_two_clocks(benchmark):
    interleaved_rounds(benchmark, FAKE.taking(1.5), FAKE.taking(1.0), plan=RoundPlan())
"""


def test_the_fixture_times_the_format_and_its_file_holds_both_and_the_interval(
    pytester: pytest.Pytester, pytestconfig: pytest.Config
) -> None:
    pytester.syspathinsert(pytestconfig.rootpath)
    pytester.makepyfile(REAL)
    quiet = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    result = pytester.runpytest_inprocess(*quiet, "--benchmark-json=out.json")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*CannotTime: pytest-benchmark reads now*run without --benchmark-timer*"])
    told = json.loads((pytester.path / "out.json").read_text())["benchmarks"]
    entry = next(one for one in told if one["name"] == "test_fake")
    assert entry["stats"]["data"] == [1.0] * 25
    assert entry["extra_info"]["reference_seconds"] == [1.5] * 25
    assert entry["extra_info"]["speedup"] == pytest.approx(1.5)
    assert entry["extra_info"]["interval"] == pytest.approx([1.5, 1.5])
