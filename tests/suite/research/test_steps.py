"""Steps in turn against whole calls: what the recorded traces say, and that the recorder records both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.gates.speed.judge import WALL_QUANTITIES, judge_speed
from fixtures.gates.verdict import Verdict, settle
from fixtures.research.power import HEALTHY, LEAST, Trace, nights, whole_calls
from fixtures.research.traces.read import read
from fixtures.research.traces.steps import main
from fixtures.research.traces.table import limits_of

TRACES = Path(__file__).parents[1] / "traces" / "h200.npz"
CONFIGURATION = "regional-bs4"
FLUX_STEPS = 28


def red(traces: dict[str, Trace], *, rounds: int) -> dict[str, float]:
    """Share of nights on the host of the baseline that are not green on the wall, by slowdown."""
    limits = [limit for limit in limits_of(CONFIGURATION) if limit.quantity in WALL_QUANTITIES]
    seen: dict[str, list[bool]] = {}
    drawn = nights(traces, wall_rounds=rounds, device_rounds=rounds, draws=2, seed=0, exact=(5,), least=LEAST)
    for slowdown, now, then in drawn:
        assert now.device is not None
        assert then.device is not None
        if slowdown in (HEALTHY, "exactly 5 %") and not now.device.recorded_elsewhere(then.device):
            verdict = settle(judge_speed(now, limits, then)).verdict
            seen.setdefault(slowdown, []).append(verdict is not Verdict.PASS)
    return {slowdown: float(np.mean(found)) for slowdown, found in seen.items()}


def test_sixty_steps_in_turn_find_what_five_whole_calls_found() -> None:
    traces = {name: trace for name, trace in read(TRACES)[CONFIGURATION].items() if len(trace.wall) >= LEAST}
    calls = {
        name: whole_calls(trace, steps=FLUX_STEPS, calls=200, seed=index)
        for index, (name, trace) in enumerate(traces.items())
    }
    before, now = red(calls, rounds=5), red(traces, rounds=60)
    assert now["exactly 5 %"] >= before["exactly 5 %"]
    assert now[HEALTHY] <= 0.01


def test_a_whole_call_is_the_sum_of_steps_that_followed_each_other() -> None:
    seconds = np.arange(1.0, 41.0).reshape(20, 2)
    made = whole_calls(Trace(calls=("bf16", "fp8"), wall=seconds), steps=4, calls=50, seed=0)
    assert made.wall.shape == (50, 2)
    assert {row[0] for row in made.wall} <= {seconds[start : start + 4, 0].sum() for start in range(17)}
    short = whole_calls(Trace(calls=("bf16", "fp8"), wall=seconds), steps=40, calls=1, seed=0)
    assert short.wall[0, 0] == pytest.approx(2 * seconds[:, 0].sum())


def test_steps_and_calls_are_recorded_by_turns_and_summed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "steps.npz"
    asked = ["--toy", "--double", "1", "--single", "1", "--mode", "eager", "--batch", "1", "--calls", "2"]
    monkeypatch.setattr("sys.argv", ["steps", "--out", str(out), *asked, "--steps", "3"])
    assert main() == 0
    with np.load(out) as found:
        assert found["eager-bs1/turns"].shape == (6, 2, 2)
        assert found["eager-bs1/calls"].shape == (2, 3, 2, 2)
        assert (found["eager-bs1/turns"] > 0).all()
    assert "eager-bs1: in turn " in capsys.readouterr().out
