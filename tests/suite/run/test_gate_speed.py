"""The speed gate on a clock that counts work: what it records, and that a slower format is red."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from fixtures.gates.verdict import ExitCode
from tests.suite import work_clock
from tests.suite.gate_runs import NVFP4, Gate, Outcome, cases, gates

SPEED = (*cases(NVFP4), *gates("speed", "kernels"))


@pytest.fixture(scope="module")
def recorded(recording: tuple[Gate, Outcome], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Baselines with a speed section, recorded on the clock of work."""
    gate, _ = recording
    baselines = Path(shutil.copytree(gate.baselines, tmp_path_factory.mktemp("speed") / "baselines"))
    with pytest.MonkeyPatch.context() as patch:
        timer = work_clock.install(patch)
        outcome = gate(*SPEED, *timer, "--rebaseline", "--reason", "a clock of work", baselines=baselines)
    assert outcome.code == ExitCode.GREEN, outcome.text
    assert outcome.says(f"{NVFP4}: recorded speed")
    return baselines


def test_the_same_work_is_green_and_ten_times_the_work_is_red(
    gate: Gate, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        healthy = gate(*SPEED, *work_clock.install(patch), baselines=recorded)
    assert healthy.code == ExitCode.GREEN, healthy.text
    record = healthy.record("speed")
    assert record.message.startswith("speedup against baseline ")
    assert "emulated: what the emulation costs, no hardware speedup" in record.message
    (check,) = (check for check in record.checks if check.name == "speedup against baseline")
    assert check.value is not None
    assert 0.95 < check.value < 1.05
    assert check.interval is not None
    stored = json.loads((healthy.folder / "benchmark.json").read_text())["benchmarks"]
    assert len(stored) == 1
    assert stored[0]["stats"]["rounds"] == len(record.result["wall"]["seconds"])

    timer = work_clock.install(monkeypatch, nvfp4_matmul=10 * work_clock.MATMUL_S)
    slow = gate(*SPEED, *timer, baselines=recorded)
    assert slow.code == ExitCode.FAIL
    assert slow.verdicts() == {"speed": "fail", "kernels": "pass"}
    message = slow.record("speed").message
    # 44 Linears: 10 + 44 ms became 10 + 440 ms.
    assert re.match(
        r"speedup against baseline 0\.1[12]\d*x \[0\.11\d*, 0\.12\d*\] below floor 0\.\d+x \(bf16 9\.", message
    )
    assert ", nvfp4 450 ms, " in message


def test_a_machine_that_others_took_is_an_error_and_no_number(
    gate: Gate, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer = work_clock.install(monkeypatch, disturbed="other processes took it; stop them and run the gate again")
    outcome = gate(*SPEED, *timer, baselines=recorded)
    assert outcome.verdicts()["speed"] == "error", outcome.text
    assert "stop them and run the gate again" in outcome.record("speed").message


def test_a_clock_of_somebody_else_times_nothing(gate: Gate, recorded: Path) -> None:
    outcome = gate(*SPEED, "--benchmark-timer", "time.process_time", baselines=recorded)
    assert outcome.code == ExitCode.ERROR
    assert "run without --benchmark-timer" in outcome.record("speed").message


def test_timing_that_is_off_is_an_error(gate: Gate, recorded: Path) -> None:
    outcome = gate(*SPEED, "--benchmark-disable", baselines=recorded)
    assert outcome.code == ExitCode.ERROR
    assert "run without --benchmark-disable" in outcome.record("speed").message
