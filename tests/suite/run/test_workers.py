"""Cases judged by several processes are judged as by one; a process that is lost costs time and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fixtures.gates.verdict import ExitCode
from fixtures.results.baseline import path_of
from fixtures.results.records import GateRecord
from fixtures.run.options import RunOptions
from fixtures.run.plan import plan
from fixtures.run.workers import how_many, split
from tests.suite.gate_runs import BF16, NVFP4, NVFP4_BS2, Gate, cases, gates

SELECTION = (*cases(BF16, NVFP4, NVFP4_BS2), *gates("manifest", "calls", "quality"))


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        (2, {}),
        (1, {"expected_s": 30.0}),
        (1, {"free_gb": 4.0}),
        (1, {"units": 1}),
        (4, {"cores": 8, "units": 4, "free_gb": 16.0}),
        (3, {"asked": 3, "expected_s": 1.0, "free_gb": 0.0}),
        (1, {"asked": 1, "cores": 8}),
    ],
)
def test_processes_follow_cores_memory_and_what_there_is_to_do(expected: int, given: dict[str, float]) -> None:
    usual = {"asked": None, "cores": 2, "free_gb": 8.0, "units": 6, "expected_s": 700.0}
    assert how_many(**{**usual, **given}) == expected  # type: ignore[arg-type]


def test_every_untimed_gate_has_one_process_and_a_batch_size_stays_together() -> None:
    whole = plan(RunOptions(), "cpu")
    seconds = {(case, gate.name): 1.0 for case, speaking in whole.gates.items() for gate in speaking}
    shares = split(whole, seconds, 2)
    dealt = [case for share in shares for case in share]
    assert sorted(case.id for case in dealt) == sorted(case.id for case in whole.untimed().cases)
    assert len(dealt) == len(set(dealt))
    drawn = [{(case.model, case.batch_size) for case in share if case.checkpoint == "tiny"} for share in shares]
    assert len(drawn) == 2
    assert not drawn[0] & drawn[1]


def said(records: tuple[GateRecord, ...]) -> dict[tuple[str, str], object]:
    """What was concluded, without what a clock or a run's name tells."""
    return {(one.case, one.gate): one.model_dump(exclude={"run", "seconds", "ended_s", "process"}) for one in records}


def test_two_processes_come_to_what_one_comes_to(gate: Gate, own_baselines: Path, tmp_path: Path) -> None:
    path_of(own_baselines, "cpu", NVFP4_BS2).unlink()  # red, in the other process
    history = tmp_path / "history"  # which printed commands name, and by whose seconds cases are dealt out
    mine = (*SELECTION, "--history", str(history))
    alone = gate(*mine, "--workers", "1", baselines=own_baselines)
    shutil.rmtree(history)
    both = gate(*mine, "--workers", "2", baselines=own_baselines)
    assert (alone.code, both.code) == (ExitCode.FAIL, ExitCode.FAIL), both.text
    assert said(both.records) == said(alone.records)
    assert both.record("quality", NVFP4_BS2).next[:3] == ["nox", "-s", "rebaseline"]
    for record in both.records:
        assert record.run == both.folder.name
        assert record.process == int(record.case == NVFP4_BS2)
        assert both.text.count(f"] {record.case} {record.gate}: {record.verdict}") == 1
        assert all((both.folder / name).is_file() for name in record.files())
    assert both.record("quality", NVFP4_BS2).files()
    assert "<span>2 processes, " in both.page
    assert "side by side" not in alone.page
    assert not (both.folder / "workers").exists()


def test_what_a_lost_process_leaves_is_judged_here(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIES_EARLY", f"[{NVFP4_BS2}]")
    monkeypatch.setenv("DIES_EARLY_WITH", "--worker-of")
    selection = [*cases(BF16, NVFP4_BS2), *gates("calls")]
    outcome = gate(*selection, "--workers", "2", "-p", "tests.suite.dies_early")
    assert outcome.code == ExitCode.GREEN, outcome.text
    assert {(one.case, one.gate) for one in outcome.records} == {(BF16, "calls"), (NVFP4_BS2, "calls")}
    assert outcome.says("worker 1 ended with code -9 before it had judged its cases, which were judged here")
    assert (outcome.folder / "workers" / "1.log").is_file()
