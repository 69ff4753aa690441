"""A rehearsal of the b200 lane collects what the lane collects, records, judges, and judges no speed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.catalog import LANES, cases_of, models
from fixtures.gates.verdict import Verdict
from fixtures.machine.hardware import Machine
from fixtures.results.run import read_run
from fixtures.run.options import RunOptions
from fixtures.run.session import Session, SessionProblem
from tests.suite.gate_runs import METRIC, Gate, gates

B200 = Machine(
    kind="b200",
    name="NVIDIA B200",
    sm=(10, 0),
    driver="580.65.06",
    power_limit_w=1000.0,
    memory_total_bytes=180 * 10**9,
    cpu_model="a CPU",
    cpu_isa="avx512",
    cores=2,
    threads=1,
)


def collected(outcome_text: str) -> list[str]:
    """Node ids in the order of the run."""
    return re.findall(r"^\S*(test_\w+\.py::\S+)$", outcome_text, re.MULTILINE)


def test_rehearsal_and_lane_collect_the_same_cases_in_the_same_order(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsed = gate("--machine", "auto", "--lane", "b200-rehearsal", "--collect-only", "-q")
    monkeypatch.setattr("fixtures.run.session.detect", lambda requested=None: B200)
    lane = gate("--machine", "auto", "--lane", "b200", "--collect-only", "-q")
    expected = collected(lane.text)
    assert len(expected) > 200
    assert {case.id for case in cases_of(LANES["b200"])} <= {re.split(r"[\[\]]", item)[1] for item in expected}
    assert collected(rehearsed.text) == [item.replace("-hub-", "-tiny-") for item in expected]


def test_a_gpu_without_a_lane_of_its_own_records_into_no_folder_of_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    b300 = replace(B200, kind="gpu", name="NVIDIA B300", sm=(10, 3))
    monkeypatch.setattr("fixtures.run.session.detect", lambda *_: b300)
    options = RunOptions(rebaseline=True, reason="a first night", results=str(tmp_path / "results"))
    with pytest.raises(SessionProblem, match="the gpu lane keeps no baselines"):
        Session.open(options)
    opened = Session.open(replace(options, baselines=str(tmp_path / "own")))
    assert opened.plan.lane.name == "gpu"


def test_every_model_can_be_rehearsed() -> None:
    assert all("tiny" in model.samplings for model in models().values())


def test_rehearsal_records_then_judges_and_only_measures_speed(gate: Gate, tmp_path: Path) -> None:
    chosen = [
        "--machine",
        "auto",
        "--lane",
        "b200-rehearsal",
        "--model",
        "flux1-dev",
        "--format",
        "mxfp8",
        "--batch",
        "1",
    ]
    chosen += ["--case", "flux1-dev/*-tiny-*", *gates("manifest", "velocity", "kernels", "speed")]
    baselines = tmp_path / "baselines"
    recorded = gate(*chosen, "--rebaseline", "--reason", "rehearsed first night", baselines=baselines)
    assert recorded.code == 0, recorded.text
    assert (baselines / "cpu" / "flux1-dev" / "mxfp8-tiny-bs1-reduce-overhead.json").is_file()
    judged = gate(*chosen, baselines=baselines)
    assert judged.code == 0, judged.text
    assert judged.verdicts() == {
        "manifest": Verdict.PASS,
        "kernels": Verdict.PASS,
        "velocity": Verdict.PASS,
        "speed": Verdict.SKIP,
    }
    speed = judged.record("speed")
    assert re.search(r"a rehearsal judges no speed; measured [\d.e-]+x \[", speed.message)
    assert len(speed.result["wall"]["seconds"]) >= 5
    case = "flux1-dev/mxfp8-tiny-bs1-reduce-overhead"
    given = ["--metric", METRIC, "--baselines", str(baselines)]
    again = [*["nox", "-s", "b200", "--", "--rehearse", "--case"], case, "--gate", "speed", *given]
    assert speed.reproduce == [*again, "--history", str(judged.folder.parent / "history")]
    header = read_run(judged.folder).header
    assert header is not None
    assert (header.lane, header.machine) == ("b200-rehearsal", "cpu")
    assert judged.says("lane b200-rehearsal on")


def test_lock_file_joins_the_results(gate: Gate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lock = tmp_path / "pylock.toml"
    lock.write_text('lock-version = "1.0"\n')
    monkeypatch.setenv("GATE_LOCK", str(lock))
    outcome = gate("--case", "flux1-dev/mxfp8-meta-bs1-eager", *gates("roofline"))
    assert (outcome.folder / "pylock.toml").read_text() == lock.read_text()
