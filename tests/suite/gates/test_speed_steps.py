"""With published weights a denoising step is a round: what whole calls follow from, and which of the two is judged."""

from __future__ import annotations

import dataclasses

import pytest

from fixtures.catalog.schema import Limit
from fixtures.gates.base import Missing
from fixtures.gates.speed.gate import (
    DEVICE_ROUNDS,
    GATE,
    MOST_DEVICE_ROUNDS,
    WARM_CALLS,
    round_plan,
    timed_calls,
    whole_call,
)
from fixtures.gates.speed.judge import SPEEDUP_CHANGE, judge_speed
from fixtures.gates.speed.result import SPEEDUP, Pairs, SpeedResult, WholeCall, kept
from fixtures.gates.speed.rounds import CannotTime
from fixtures.gates.verdict import Cause, Verdict
from fixtures.pipelines.built import Pipelines, _key
from fixtures.pipelines.observations import Observations
from tests.suite.contexts import context, tiny
from tests.suite.hub_gate import fitted_models

RIPPLE = [1.0, 1.001, 1.002] * 4
STEPS = SpeedResult(
    format="nvfp4",
    arithmetic="native",
    wall=Pairs(seconds=RIPPLE, reference_seconds=[2.0 * second for second in RIPPLE]),
    whole=WholeCall(steps=10, beside_seconds=10.0, calls=8),
)
"""Steps twice as fast, in calls that take as long beside them: 30 s become 20 s."""


def limit(quantity: str, floor: float) -> Limit:
    return Limit(gate="speed", quantity=quantity, unit="x", source="this test", floor=floor)


def test_the_floor_is_about_whole_calls_and_the_baseline_about_steps() -> None:
    before = kept(STEPS)
    assert before is not None
    assert before.ratio == pytest.approx(1.5, abs=1e-3)
    limits = [limit(SPEEDUP, 1.4), limit(SPEEDUP_CHANGE, 0.97)]
    whole, steps = judge_speed(STEPS, limits, before)
    assert (whole.verdict, steps.verdict) == (Verdict.PASS, Verdict.PASS)
    assert whole.value == pytest.approx(1.5, abs=1e-3)
    assert "bf16 30 s, nvfp4 20 s, 12 rounds of a step, 10 steps a call and 10 s beside them" in whole.note

    slower = STEPS.model_copy(
        update={"wall": Pairs(seconds=[1.06 * s for s in RIPPLE], reference_seconds=STEPS.wall.reference_seconds)}
    )
    whole, steps = judge_speed(slower, limits, before)
    assert whole.value == pytest.approx(30 / 20.6, abs=1e-3), "half of the call is beside the steps"
    assert steps.value == pytest.approx(1 / 1.06, abs=1e-3)
    assert (whole.verdict, steps.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert judge_speed(STEPS, [limit(SPEEDUP, 1.6)], before)[0].verdict is Verdict.FAIL


def test_the_history_follows_whole_calls() -> None:
    gone = Missing(reason="none", cause=Cause.NO_BASELINE)
    told = {one.name: one.value for one in GATE.explain(context(tiny("nvfp4")), STEPS, gone, []).quantities}
    assert told[SPEEDUP] == pytest.approx(1.5, abs=1e-3)


def test_a_first_call_that_sets_its_libraries_up_does_not_make_the_others_longer() -> None:
    assert whole_call([9.0, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6], 28).beside_seconds == 1.2
    assert whole_call([9.0, 1.0, 1.1], 28).beside_seconds == 1.0
    with pytest.raises(CannotTime, match="no pipeline call was drawn"):
        whole_call([], 28)


def test_a_step_is_as_many_denoiser_calls_as_guidance_takes_and_no_prompt_is_drawn_for_it() -> None:
    models_ = fitted_models()
    small, large = (Pipelines(device="cpu", capability=None, entries=models_) for _ in range(2))
    case = tiny("mxfp8", model="qwen-image", checkpoint="hub")
    for one in (case, case.sibling(format="bf16")):
        built = small.subject(dataclasses.replace(one, checkpoint="tiny"))
        large._subjects[_key(one)] = dataclasses.replace(built, checkpoint="hub")
    seen = Observations(pipelines=large, calls_of=lambda _: 1)
    calls = timed_calls(context(case, observations=seen))
    assert calls.whole is not None
    assert (calls.whole.steps, calls.whole.calls) == (2, 1)
    drawn = len(seen.beside_denoiser(case))
    counted: list[int] = []
    handle = seen.subject(case).denoiser.register_forward_hook(lambda *_: counted.append(1))
    calls.wall[1]()
    handle.remove()
    assert len(counted) == 2
    assert len(seen.beside_denoiser(case)) == drawn
    (beside,) = seen.beside_denoiser(case)
    assert 0 < beside < seen.reference_observation(case).seconds[0]


def test_the_plan_of_rounds_is_what_the_gate_declares() -> None:
    plan = round_plan(context(tiny("bf16", checkpoint="hub")), (1.4,))
    wall = GATE.cost.paired[0]
    assert (plan.minimum, plan.maximum, plan.budget_seconds) == (wall.least, wall.most, wall.seconds)
    assert (GATE.cost.paired[1].least, GATE.cost.paired[1].most) == (DEVICE_ROUNDS, MOST_DEVICE_ROUNDS)
    assert GATE.cost.paired[1].untimed == WARM_CALLS
