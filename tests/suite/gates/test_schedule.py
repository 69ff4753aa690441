"""The published noise levels: stored ones agree with the formula, and a scheduler that leaves it is red."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalog import models
from fixtures.catalog.limits import Limits
from fixtures.gates.base import conclude
from fixtures.gates.schedule import GATE, ScheduleResult
from fixtures.gates.verdict import Verdict, settle
from tests.suite.contexts import UNRECORDED, context, tiny

LENGTHS = {"flux1-dev": 64 * 64, "qwen-image": 64 * 64, "ltx-2": 16 * 16 * 24}
"""Tokens of one published picture or clip."""
STEPS = (1.0, 0.8, 0.5, 0.1)
HEALTHY = ScheduleResult(
    sigmas=[list(STEPS)] * 2,
    timesteps=[[1000 * step for step in STEPS]] * 2,
    told=[step for step in STEPS for _ in range(2)],
    stored=list(STEPS),
    train_timesteps=1000,
)


@pytest.mark.parametrize("name", sorted(LENGTHS))
def test_what_is_stored_is_what_the_published_options_say(name: str) -> None:
    """By the formulas of the papers' schedule in float64: a shift that is linear in tokens, exponential in time, and a
    stretch to the terminal level (diffusers' documentation of FlowMatchEulerDiscreteScheduler)."""
    schedule, options = models()[name].schedule, models()[name].schedule.options
    short, long = (float(options[f"{which}_image_seq_len"]) for which in ("base", "max"))
    low, high = (float(options[f"{which}_shift"]) for which in ("base", "max"))
    mu = low + (high - low) * (LENGTHS[name] - short) / (long - short)
    steps = models()[name].samplings["hub"].call["num_inference_steps"]
    shifted = [math.exp(mu) / (math.exp(mu) + (steps / (steps - index) - 1)) for index in range(steps)]
    terminal = options.get("shift_terminal")
    scale = 1.0 if terminal is None else (1 - shifted[-1]) / (1 - terminal)
    assert list(schedule.sigmas) == pytest.approx([1 - (1 - sigma) / scale for sigma in shifted], abs=1e-6)


def verdict(**changes: object) -> Verdict:
    """The verdict about a healthy walk but for `changes`."""
    return settle(GATE.judge(HEALTHY.model_copy(update=changes), Limits(), UNRECORDED)).verdict


@given(step=st.integers(0, 3), stream=st.integers(0, 1), by=st.floats(2e-5, 0.5) | st.floats(-0.5, -2e-5))
def test_one_step_of_one_stream_that_is_off_fails(step: int, stream: int, by: float) -> None:
    sigmas, timesteps = [list(row) for row in HEALTHY.sigmas], [list(row) for row in HEALTHY.timesteps]
    sigmas[stream][step] += by
    timesteps[stream][step] += 1000 * by
    assert verdict(sigmas=sigmas) is Verdict.FAIL
    assert verdict(timesteps=timesteps) is Verdict.FAIL


@given(step=st.integers(0, 7), by=st.floats(0.01, 0.5))
def test_a_denoiser_that_is_told_another_level_fails(step: int, by: float) -> None:
    told = list(HEALTHY.told)
    told[step] *= 1 + by
    assert verdict(told=told) is Verdict.FAIL


def test_rounding_passes_and_nothing_set_or_stored_never_does() -> None:
    assert verdict() is Verdict.PASS
    assert verdict(told=[step * (1 + 2**-8) for step in HEALTHY.told]) is Verdict.PASS
    assert verdict(sigmas=[]) is Verdict.ERROR
    assert verdict(told=[]) is Verdict.ERROR
    assert verdict(stored=[]) is Verdict.ERROR
    assert verdict(told=HEALTHY.told[:-1]) is Verdict.FAIL
    assert verdict(sigmas=[list(STEPS[:-1])]) is Verdict.FAIL


def test_a_new_models_levels_are_written_by_the_gate() -> None:
    (said,) = GATE.judge(HEALTHY.model_copy(update={"stored": []}), Limits(), UNRECORDED)
    assert said.note.endswith("write `schedule.sigmas` of the model's file: 1, 0.8, 0.5, 0.1")


@pytest.mark.parametrize("name", sorted(LENGTHS))
def test_the_installed_pipeline_sets_the_stored_levels(name: str) -> None:
    found = conclude(GATE, context(tiny("bf16", model=name)))
    assert found.judgement.verdict is Verdict.PASS, found.judgement.message
    assert len(found.result.sigmas) == (2 if name == "ltx-2" else 1), "sound has a scheduler of its own"
