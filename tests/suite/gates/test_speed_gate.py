"""The gate as a whole, on tiny pipelines and a clock that calls move: records, judges, rehearses, explains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fixtures.catalog import LANES
from fixtures.catalog.limits import Limits
from fixtures.catalog.schema import Case, Limit
from fixtures.gates.base import Missing, conclude
from fixtures.gates.speed import GATE
from fixtures.gates.speed.judge import OPERATORS, SPEEDUP_CHANGE
from fixtures.gates.speed.result import DEVICE_SPEEDUP, SPEEDUP, Costs, DeviceRounds, Pairs, SpeedResult
from fixtures.gates.verdict import Cause, Check, Verdict
from tests.suite.contexts import Stored, context, tiny
from tests.suite.speed_timer import FakeTimer

CASE = tiny("fp8")
RIPPLE = [1.0, 1.001, 1.002] * 4
TIMED = SpeedResult(
    format="fp8",
    arithmetic="native",
    wall=Pairs(seconds=RIPPLE, reference_seconds=[1.3 * s for s in RIPPLE]),
    call_seconds=30.0,
    timing_seconds=31.0,
)
GONE = Missing(reason="it is missing; record it", cause=Cause.NO_BASELINE, whole=True)
LIMITS = Limits(entries=(Limit(gate="speed", quantity=SPEEDUP_CHANGE, unit="x", source="this test", floor=0.9),))


def healthy() -> FakeTimer:
    """Every call of bf16 takes 1 s and every one of the format 0.75 s, within a spread of 0.2 %: the budget holds 10
    rounds, and 8 decide."""
    return FakeTimer(each=(1.0, 0.75))


def judged(now: SpeedResult, before: Any = GONE) -> Check:
    (check,) = GATE.judge(now, LIMITS, before)
    return check


def but(**changes: Any) -> SpeedResult:
    """The timed result with these changes."""
    return TIMED.model_copy(update=changes)


def test_a_recorded_case_is_green_against_itself_and_skips_nothing_while_recording() -> None:
    recorded = conclude(GATE, context(CASE, timer=healthy(), recording=True))
    assert recorded.judgement.verdict is Verdict.PASS
    assert [check.name for check in recorded.judgement.checks] == [SPEEDUP], "what holds anywhere holds while recording"
    assert recorded.kept is not None
    assert len(recorded.result.wall.seconds) == 10, "what is recorded gets all the rounds that there are"
    stored = Stored(sections={"speed": recorded.kept})
    again = conclude(GATE, context(CASE, timer=healthy(), baselines=stored))
    assert again.judgement.verdict is Verdict.PASS
    assert len(again.result.wall.seconds) == 8
    assert 0.97 < (again.judgement.checks[0].value or 0) < 1.03
    (figure,) = again.explanation.figures
    assert figure.series == {"bf16": again.result.wall.reference_seconds, "fp8": again.result.wall.seconds}
    assert [quantity.name for quantity in again.explanation.quantities] == [
        SPEEDUP,
        "operators",
        "loading",
        "quantizing",
    ]
    (counted,) = (check for check in again.judgement.checks if check.name == OPERATORS)
    assert (counted.verdict, counted.value) == (Verdict.PASS, 1.0)
    assert "not in the baseline" not in again.explanation.note


def test_a_count_that_the_baseline_lacks_is_told_and_not_red() -> None:
    before = GATE.keep(TIMED)
    assert before is not None
    now = but(costs=Costs(operators=4000))
    assert judged(now, before).verdict is Verdict.PASS
    ctx = context(CASE, baselines=Stored(sections={"speed": before}))
    assert f"not in the baseline, so not judged: {OPERATORS}; " in GATE.explain(ctx, now, before, []).note


def test_a_rehearsal_measures_a_few_rounds_and_judges_nothing() -> None:
    ctx = replace(context(CASE, timer=healthy(), recording=True), lane=replace(LANES["cpu"], judges_speed=False))
    rehearsed = conclude(GATE, ctx)
    assert 5 <= len(rehearsed.result.wall.seconds) <= 8
    assert rehearsed.kept is None
    (check,) = rehearsed.judgement.checks
    assert check.verdict is Verdict.SKIP
    assert check.note.startswith("a rehearsal judges no speed; measured ")
    assert f"in {len(rehearsed.result.wall.seconds)} rounds" in check.note


def test_nothing_is_timed_where_seconds_say_nothing_or_nobody_recorded_the_case() -> None:
    full_size = Case(model="flux1-dev", format="nvfp4", checkpoint="random", batch_size=1, compile_mode="eager")
    meaningless = GATE.measure(context(full_size, timer=healthy()))
    assert meaningless.wall == Pairs()
    assert (judged(meaningless).verdict, judged(meaningless).note) == (
        Verdict.SKIP,
        "nvfp4 is emulated here: its time at full size says nothing of hardware",
    )
    missing = GATE.measure(context(CASE, timer=healthy(), baselines=Stored(missing=GONE)))
    assert missing.wall == Pairs()
    check = judged(missing)
    assert (check.name, check.verdict, check.note) == ("speed against baseline", Verdict.FAIL, GONE.reason)


def test_what_could_not_be_timed_is_an_error_and_no_section() -> None:
    for timer, said in ((FakeTimer(disabled=True), "run without --benchmark-disable"), (None, "nobody handed a timer")):
        found = conclude(GATE, context(CASE, timer=timer, recording=True))
        assert found.judgement.verdict is Verdict.ERROR
        assert said in found.judgement.message
        assert found.kept is None


def test_a_red_verdict_says_which_loss_it_saw_and_a_green_one_what_it_cost() -> None:
    before = GATE.keep(TIMED)
    assert before is not None
    slow = but(wall=Pairs(seconds=[1.2 * s for s in RIPPLE], reference_seconds=TIMED.wall.reference_seconds))
    for now, verdict, note in (
        (TIMED, Verdict.PASS, "30.0 s of calls in 31.0 s of timing"),
        (slow, Verdict.FAIL, "fp8 takes 1200 ms instead of 1000; device seconds would tell kernels from overhead"),
    ):
        check = judged(now, before)
        assert check.verdict is verdict
        said = GATE.explain(context(CASE), now, before, [check]).note
        assert said.startswith(note)
        assert said.endswith("30.0 s of calls in 31.0 s of timing")


def test_the_history_follows_both_speedups_and_what_the_hardware_allows() -> None:
    device = DeviceRounds(**TIMED.wall.model_dump())
    now = but(device=device, costs=Costs(), roofline=1.6)
    told = {one.name: one.value for one in GATE.explain(context(CASE), now, GONE, [judged(now)]).quantities}
    assert told == pytest.approx({SPEEDUP: 1.3, DEVICE_SPEEDUP: 1.3, "roofline": 1.6, "share of roofline": 1.3 / 1.6})
