"""The speed gate on a clock that counts work: what it records, and that a slower format is red."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from fixtures.bisect.question import parser, question
from fixtures.faults import in_matmul
from fixtures.faults.in_speed import host_dispatches_more_operators
from fixtures.faults.patching import Patch
from fixtures.gates.speed.judge import OPERATORS
from fixtures.gates.verdict import ExitCode, Verdict
from fixtures.results.history import read_history
from fixtures.run.next_command import bisect_arguments
from fixtures.stack.requirements import pinned
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


def test_more_dispatched_operators_are_red_though_no_seconds_are(
    gate: Gate, recorded: Path, patch: Patch, monkeypatch: pytest.MonkeyPatch
) -> None:
    host_dispatches_more_operators(patch)
    outcome = gate(*SPEED, *work_clock.install(monkeypatch), baselines=recorded)
    assert outcome.code == ExitCode.FAIL
    assert outcome.verdicts() == {"speed": "fail", "kernels": "pass"}
    message = outcome.record("speed").message
    assert re.match(rf"{OPERATORS} 1\.05x above ceiling 1\.02x \(\d+ operators -> \d+ operators\)$", message), message


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


# ---- a processor that nobody recorded ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Laptop:
    """Runs of the gate on one machine, which share a history."""

    gate: Gate
    baselines: Path
    history: Path

    def __call__(self, *more: str, matmul_s: float = 0.0002) -> Outcome:
        with pytest.MonkeyPatch.context() as patch:
            options = [*work_clock.install(patch, nvfp4_matmul=matmul_s), "--history", str(self.history), *more]
            return self.gate(*cases(NVFP4), *gates("digest", "speed"), *options, baselines=self.baselines)


@pytest.fixture
def laptop(gate: Gate, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Laptop:
    """A machine whose processor no baseline knows."""
    for room in ("session", "info"):
        monkeypatch.setattr(f"fixtures.run.{room}.device_key", lambda device: "a-laptop")
    return Laptop(gate=gate, baselines=recorded, history=tmp_path / "history")


def test_a_matmul_that_sleeps_is_red_on_a_processor_that_nobody_recorded(laptop: Laptop) -> None:
    """4 ms, 44 times a call, was green there."""
    outcome = laptop(matmul_s=0.004)
    assert outcome.code == ExitCode.FAIL, outcome.text
    speed = outcome.record("speed")
    # 10 ms became 10 + 176 ms.
    assert re.match(r"speedup 0\.05\d*x \[.*\] below floor 0\.12x", speed.message), speed.message
    assert {check.name: check.verdict for check in speed.checks} == {
        "speedup": Verdict.FAIL,
        "speedup against baseline": Verdict.SKIP,
        "speedup gained on baseline": Verdict.SKIP,
        OPERATORS: Verdict.SKIP,
    }
    assert outcome.verdicts()["digest"] == "skip"


def test_this_machines_own_last_green_run_judges_where_no_baseline_can(laptop: Laptop) -> None:
    green = laptop()
    assert green.code == ExitCode.GREEN, green.text
    assert green.record("digest").verdict == "skip", "nothing of this machine yet"
    again = laptop()
    assert again.verdicts() == {"digest": "pass", "speed": "pass"}
    assert again.record("speed").note.endswith(again.record("speed").against)
    run = green.folder.name
    assert f"this machine's last green run {run} (torch " in again.record("digest").against
    assert not again.says("numerics moved")

    slow = laptop(matmul_s=0.0006)
    assert slow.code == ExitCode.FAIL, slow.text
    message = slow.record("speed").message
    # 10 + 8.8 ms became 10 + 26.4 ms: above the floor that holds anywhere.
    assert re.search(r"speedup against baseline 0\.5\d*x \[.*\] below floor 0\.6x", message), message
    assert slow.says(f"held against this machine's last green run {again.folder.name}"), "the newest green one"
    assert [entry.verdict for entry in read_history(laptop.history)] == ["green", "green", "red"]


def test_an_upgrader_is_told_that_numerics_moved_since_his_own_last_green_run(laptop: Laptop, patch: Patch) -> None:
    green = laptop()
    in_matmul.scale_result_is_ignored(patch)
    moved = laptop()
    assert moved.verdicts() == {"digest": "pass", "speed": "pass"}, "news, and no fault by itself"
    assert moved.code == ExitCode.GREEN
    assert moved.record("digest").checks[0].note.startswith("numerics moved: ")
    said = f"numerics moved in {NVFP4}, held against this machine's last green run {green.folder.name} (torch "
    assert moved.says(said), moved.text


def test_what_is_red_against_this_machines_own_run_is_bisected_with_a_baseline_of_the_good_end(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop()
    monkeypatch.setattr("fixtures.run.next_command.pinned", lambda: {**pinned(), "torchao": "0.1"})
    slow = laptop(matmul_s=0.0006)
    arguments = bisect_arguments(slow.record("speed").next)
    assert arguments is not None
    asked = question(parser().parse_known_args(arguments)[0])
    assert (asked.against, asked.good) == ("good", {"torchao": "0.1"})


def test_a_green_run_of_other_weights_or_of_another_suite_judges_nothing(laptop: Laptop) -> None:
    laptop()
    (path,) = laptop.history.glob("*.json")
    entry = json.loads(path.read_text())
    (own,) = entry["own"].values()
    assert set(own["sections"]) == {"digest", "speed"}
    for damage in ({"recipe": "0" * 64}, {"sections": {name: {"unknown": 1} for name in own["sections"]}}):
        changed = {**entry, "own": {NVFP4: {**own, **damage}}}
        path.write_text(json.dumps(changed))
        assert laptop().record("digest").verdict == "skip"
        for other in laptop.history.glob("*.json"):
            if other != path:
                other.unlink()
