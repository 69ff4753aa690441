"""`--slurm`: the smoke first, then a share a job; one that is preempted goes on; all are told as one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fixtures import ROOT
from fixtures.catalog.lanes import LANES
from fixtures.gates.verdict import ExitCode
from fixtures.report.merged import gather
from fixtures.run.jobs import A_DAY, LEAST_MINUTES, minutes
from fixtures.run.launch import smoke_arguments
from fixtures.run.spread import main
from tests.suite.gate_runs import METRIC, gates
from tests.suite.slurm_stand_in import install, jobs, preempt

CASES = [f"{model}/{name}-tiny-bs1-eager" for model in ("flux1-dev", "qwen-image") for name in ("bf16", "mxfp8")]


def started(tmp_path: Path, *arguments: str) -> tuple[subprocess.Popen[str], Path]:
    """A run over the stand-in's machines, and where Slurm keeps what it knows."""
    slurm = tmp_path / "slurm"
    command = [sys.executable, "-m", "fixtures.run.spread", "--slurm", "--partition", "b200", "--account", "team"]
    command += ["--results", str(tmp_path / "results"), "-p", "tests.suite.small_gate", "--lane", "cpu"]
    command += ["--metric", METRIC, *arguments]
    environment = os.environ | install(slurm)
    child = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return child, slurm


def first_record(results: Path, child: subprocess.Popen[str]) -> None:
    """Wait until the first share has left its first record."""
    while child.poll() is None:
        if any(path.stat().st_size for path in results.glob("2*/share-0/2*/records.jsonl")):
            return
        time.sleep(0.05)


def test_a_preempted_share_goes_on_where_it_was_and_all_shares_are_one_run(tmp_path: Path) -> None:
    child, slurm = started(tmp_path, *(f"--case={case}" for case in CASES), *gates("calls", "kernels"))
    first_record(tmp_path / "results", child)
    preempt(slurm, "1_0")
    text, _ = child.communicate(timeout=600)
    assert child.returncode == ExitCode.GREEN, text
    assert jobs(slurm) == ["1_0", "1_1"]
    script = (slurm / "1.sh").read_text()
    for asked in ("--array=0-1%2", "--partition=b200", "--account=team", "--gpus-per-node=1", f"--time={A_DAY}"):
        assert f"#SBATCH {asked}\n" in script, script
    (folder,) = (tmp_path / "results").glob("2*")
    assert re.search("[12] of 3 gates were done", (folder / "share-0.log").read_text())
    runs, lost = gather(folder.glob("share-*/latest"))
    assert not lost
    assert sorted(record.case for run in runs for record in run.records if record.gate == "calls") == sorted(CASES)
    assert "of 6 gates, 2 of 2 shares ended" in text
    assert "share 0: flux1-dev at batch 1 on the cluster" in text


def test_a_red_smoke_is_the_only_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A smoke that ends at once: a lane of a GPU, on a machine without any."""
    lane = tmp_path / "lane.py"
    lane.write_text(
        "from dataclasses import replace\n"
        "from fixtures.catalog.lanes import _LANES\n"
        "cpu = next(lane for lane in _LANES if lane.name == 'cpu')\n"
        "own = {'name': 'smoking', 'default': False, 'arguments': ('--lane', 'smoking')}\n"
        "LANE = replace(cpu, smoke='hopper-full-size', **own)\n"
    )
    monkeypatch.setenv("GATE_LANES", str(lane))
    child, slurm = started(tmp_path, "--lane", "smoking", "--model", "flux1-dev")
    text, _ = child.communicate(timeout=600)
    assert child.returncode == ExitCode.FAIL, text
    assert jobs(slurm) == ["1"]
    assert "the tiny checkpoints are red on this stack, so no published weights were read" in text


def test_without_slurm_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--slurm", "--lane", "cpu", "--case", CASES[0], "--results", str(tmp_path / "results")]) == 4
    assert capsys.readouterr().err.startswith("--slurm: there is no Slurm here (no `srun`)")


def test_a_smoke_keeps_what_narrows_the_night_and_the_limit_is_the_plans() -> None:
    smoke = LANES[LANES["b200"].smoke]
    given = ["--lane", "b200", "--model", "ltx-2", "--slurm", "--history", "h", "--metric=lpips-alex"]
    assert smoke_arguments(smoke, given) == ["--lane", "b200-smoke", "--model", "ltx-2", "--metric=lpips-alex"]
    assert (minutes(None), minutes(3600.0)) == (A_DAY, LEAST_MINUTES + 120)
