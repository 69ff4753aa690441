"""`--gpus N`: one ordinary run a GPU, a model's cases together, one report. The runs here have no GPU and need none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures import ROOT
from fixtures.catalog import models
from fixtures.gates.verdict import ExitCode
from fixtures.report.merged import gather
from fixtures.run.forecast import by_unit
from fixtures.run.options import RunOptions
from fixtures.run.plan import plan
from fixtures.run.shares import deal
from fixtures.run.spread import NotEnoughGpus, chosen, main
from tests.suite.gate_runs import METRIC, gates

BOTH = [f"{model}/{name}-tiny-bs1-eager" for model in ("flux1-dev", "qwen-image") for name in ("bf16", "mxfp8")]


def spread(results: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A run over two GPUs of a machine that has none."""
    command = [sys.executable, "-m", "fixtures.run.spread", "--gpus", "2", "--results", str(results)]
    command += ["-p", "tests.suite.small_gate", "--machine", "cpu", "--metric", METRIC, *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_run_that_is_lost_is_red_and_costs_the_others_nothing(tmp_path: Path) -> None:
    arguments = [*(f"--case={case}" for case in BOTH), *gates("calls"), "-p", "tests.suite.dies_early"]
    done = spread(tmp_path, *arguments, DIES_EARLY="qwen-image/mxfp8-tiny-bs1-eager")
    assert done.returncode != ExitCode.GREEN, done.stdout
    (folder,) = tmp_path.glob("2*")
    runs, _ = gather(folder.glob("share-*/latest"))
    assert sorted(len(run.records) for run in runs) == [1, 2]
    assert "share 1: qwen-image at batch 1 on the CPU" in done.stdout


# ---- the pure parts -------------------------------------------------------------------------------------------------


def test_units_are_dealt_out_so_that_the_last_is_done_early() -> None:
    expected = {("a", 1): 10.0, ("b", 1): 30.0, ("c", 1): 25.0, ("d", 1): 5.0}
    shares = deal(expected, ["GPU-1", "GPU-2", "GPU-3"])
    assert [(share.gpu, share.models) for share in shares] == [
        ("GPU-1", ("b",)),
        ("GPU-2", ("c",)),
        ("GPU-3", ("a", "d")),
    ]
    assert [share.models for share in deal({("a", 1): 1.0}, [None, None])] == [("a",)]
    # One by one, the longest first, they would end after 300 and 334.
    measured = {("a", 1): 189.0, ("b", 1): 161.0, ("c", 1): 128.0, ("a", 2): 61.0, ("b", 2): 50.0, ("c", 2): 45.0}
    assert [share.expected_s for share in deal(measured, [None, None])] == [317.0, 317.0]


def test_where_there_are_too_many_ways_to_try_the_longest_goes_first_to_whoever_is_done_first() -> None:
    expected = {(model, size): float(size) for model in "abc" for size in (1, 4, 8)}
    shares = deal(expected, ["0", "1", "2", "3"])
    assert sorted(share.expected_s for share in shares) == [9.0, 9.0, 9.0, 12.0]


def test_a_model_is_split_by_batch_size_where_that_is_faster_although_it_is_loaded_twice() -> None:
    expected = {("a", 1): 20.0, ("a", 4): 30.0, ("a", 8): 60.0}
    first, second = deal(expected, ["GPU-1", "GPU-2"], load={"a": 5.0})
    assert (first.words, first.expected_s) == ("a at batch 8", 65.0)
    assert (second.words, second.expected_s) == ("a at batch 1 and 4", 55.0)


def test_what_nobody_knows_the_seconds_of_is_dealt_out_by_its_number_of_gates() -> None:
    planned = plan(RunOptions(gate=("calls",)), "cpu")
    units = by_unit(planned.gates, {})
    assert set(units) == {(model, size) for model in models() for size in (1, 2)}
    assert units["flux1-dev", 1] == units["ltx-2", 2] == 4.0
    known = {(case, "calls"): 7.0 for case in planned.cases if case.model == "ltx-2"}
    assert by_unit(planned.gates, known)["flux1-dev", 1] == pytest.approx(4 * 7.0)


def test_a_number_of_gpus_that_is_none_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--gpus", "-1"]) == 4
    assert "argument --gpus: '-1' is no whole number from 1 up" in capsys.readouterr().err


def test_runs_get_what_this_process_may_use() -> None:
    assert chosen(2, ["GPU-a", "GPU-b", "GPU-c"], None) == ["GPU-a", "GPU-b"]
    assert chosen(3, [], None) == [None, None, None]
    with pytest.raises(NotEnoughGpus, match=r"--gpus 4: this machine offers 1 \(CUDA_VISIBLE_DEVICES=0\)"):
        chosen(4, ["GPU-a"], "0")
