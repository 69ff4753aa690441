"""The velocity gate: worse is never greener, what is no number never passes, and the steps are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import assume, given
from hypothesis import strategies as st

from fixtures.catalog.limits import Limits
from fixtures.gates.arithmetic.gate import ArithmeticResult
from fixtures.gates.base import Lines, Missing, conclude
from fixtures.gates.velocity import (
    GATE,
    VELOCITY_MEAN_MARGIN_DB,
    VELOCITY_STEP_MARGIN_DB,
    VelocityKept,
    VelocityResult,
)
from fixtures.gates.verdict import Check, Verdict
from tests.suite.closeness_samples import RECORDING, limits, not_numbers, passes, places, put
from tests.suite.contexts import Stored, context, tiny
from tests.suite.linears import linear

FLOOR = limits("velocity", floor=12.0)
decibels = st.lists(st.floats(-20, 60).filter(bool), min_size=1, max_size=8)


def judged(values: Sequence[float], floor: Limits = FLOOR, before: VelocityKept | Missing = RECORDING) -> list[Check]:
    """The gate's checks on these steps."""
    return GATE.judge(VelocityResult(per_step_db=list(values)), floor, before)


def drift(values: Sequence[float], stored: Sequence[float]) -> list[Check]:
    """The checks against a baseline alone."""
    return judged(values, Limits(), VelocityKept(per_step_db=list(stored)))


@given(values=decibels)
def test_the_worst_step_decides(values: list[float]) -> None:
    assert passes(judged(values)) == (min(values) >= 12.0)


@given(values=decibels, place=places, value=not_numbers)
def test_one_step_that_is_no_number_never_passes(values: list[float], place: int, value: float) -> None:
    broken = put(values, place, value)
    assert not passes(judged(broken))
    assert not passes(drift(broken, values))


@given(values=decibels, place=places, loss=st.floats(0, 30))
def test_a_step_that_gets_worse_makes_nothing_greener(values: list[float], place: int, loss: float) -> None:
    worse = put(values, place, values[place % len(values)] - loss)
    stored = [value + 0.1 or 0.1 for value in values]
    assert passes(judged(values)) or not passes(judged(worse))
    assert passes(drift(values, stored)) or not passes(drift(worse, stored))


@given(values=decibels, loss=st.floats(0, 5))
def test_an_even_loss_beyond_the_margin_of_the_mean_is_red(values: list[float], loss: float) -> None:
    assume(abs(loss - VELOCITY_MEAN_MARGIN_DB) > 1e-6)
    assert passes(drift([value - loss for value in values], values)) == (loss < VELOCITY_MEAN_MARGIN_DB)


@given(place=places, loss=st.floats(0, 20))
def test_one_step_may_lose_more_than_the_mean_and_not_much_more(place: int, loss: float) -> None:
    assume(abs(loss - VELOCITY_STEP_MARGIN_DB) > 1e-6)
    stored = [20.0] * 80
    assert passes(drift(put(stored, place, 20.0 - loss), stored)) == (loss < VELOCITY_STEP_MARGIN_DB)


@given(values=decibels, change=st.integers(-3, 3))
def test_another_number_of_steps_never_passes(values: list[float], change: int) -> None:
    stored = (values * 4)[: max(1, len(values) + change)]
    assert passes(drift(values, stored)) == (len(stored) == len(values))


def test_no_step_never_passes() -> None:
    assert not passes(judged([]))
    assert not passes(judged([], Limits()))
    assert not passes(drift([], [20.0]))


def test_without_a_floor_the_baseline_judges_alone_and_a_broken_one_excuses_nothing() -> None:
    assert judged([15.0], Limits()) == []
    broken = judged([20.0], before=VelocityKept(per_step_db=[5.0]))
    assert [check.name for check in broken if check.verdict is Verdict.FAIL] == ["what the baseline recorded"]


def test_steps_of_a_tiny_checkpoint_are_measured_kept_and_drawn_beside_floor_and_baseline() -> None:
    recorded = conclude(GATE, context(tiny(), recording=True))
    assert recorded.kept is not None
    assert recorded.kept.per_step_db == recorded.result.per_step_db
    again = conclude(GATE, context(tiny(), baselines=Stored(sections={"velocity": recorded.kept})))
    assert again.judgement.verdict is Verdict.PASS
    assert (again.kept, again.explanation.note) == (None, "")
    (figure,) = again.explanation.figures
    assert isinstance(figure, Lines)
    assert list(figure.series) == ["floor", "baseline", "measured"]
    assert [one.name for one in again.explanation.quantities] == ["worst step, dB", "mean over steps, dB"]
    assert figure.series["baseline"] == figure.series["measured"] == again.result.per_step_db


def test_a_red_velocity_says_where_it_starts_and_steps_that_are_no_numbers_are_not_drawn() -> None:
    ctx = context(tiny())
    ctx.shared.get(("measured", "velocity", ctx.case), lambda: VelocityResult(per_step_db=[math.nan]))
    ctx.shared.get(("measured", "arithmetic", ctx.case), lambda: ArithmeticResult(layers=[linear(matmuls=0)]))
    concluded = conclude(GATE, ctx)
    assert concluded.judgement.note.startswith("it starts at the matmul: 1 of 1 Linears made 0 of their one")
    assert concluded.explanation.figures == ()
