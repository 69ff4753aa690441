"""`--gpus N`: one worker a GPU, a model's cases together, one run. The workers here have no GPU and do not need one."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from fixtures.gates.verdict import ExitCode, Verdict
from fixtures.results.run import read_run
from fixtures.run import shards
from fixtures.run.shards import gate_and_case
from tests.suite.gate_runs import METRIC, Gate, Outcome, gates

FORMATS = ("bf16", "mxfp8", "nvfp4")
BOTH = {f"{model}/{name}-tiny-bs1-eager" for model in ("flux1-dev", "qwen-image") for name in FORMATS}
CHEAP = [*(f"--case={case}" for case in sorted(BOTH)), *gates("calls")]


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the workers write down what they see."""
    monkeypatch.setenv("WITNESS", str(tmp_path / "witness.jsonl"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "witness.jsonl"


def lines(witness: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in witness.read_text().splitlines()]


def spread(gate: Gate, *arguments: str, baselines: Path | None = None) -> Outcome:
    """A run over two workers."""
    return gate("--gpus", "2", "-p", "tests.suite.shard_witness", *arguments, baselines=baselines)


def test_models_are_spread_over_workers_that_share_no_gpu_and_leave_one_run(gate: Gate, witness: Path) -> None:
    outcome = spread(gate, *CHEAP)
    assert outcome.code == 0, outcome.text
    seen = lines(witness)
    assert {line["torch"] for line in seen} == {""}, "the GPU is chosen before torch is imported"
    held, workers = defaultdict(set), defaultdict(set)
    for line in seen:
        held[line["worker"]].add(line["device"])
        workers[gate_and_case(line["item"])[1].partition("/")[0]].add(line["worker"])
    assert sorted(map(sorted, held.values())) == [["0"], ["1"]]
    assert sorted(map(sorted, workers.values())) == [["gw0"], ["gw1"]], "a model's formats share their reference"

    assert outcome.says("spread over 2 GPUs: 0, 1")
    run = read_run(outcome.folder)
    assert run.finished
    assert run.header is not None
    assert (run.header.gpus, run.header.planned, set(run.header.cases)) == (2, 6, BOTH)
    assert {(record.case, record.gate) for record in run.records} == {(case, "calls") for case in BOTH}
    assert len(list(outcome.folder.parent.glob("2*"))) == 1, "workers open no runs of their own"
    assert "GREEN" in outcome.page


def test_gates_lost_with_their_worker_are_errors_and_other_workers_go_on(
    gate: Gate, witness: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WITNESS_KILLS", "[qwen-image/mxfp8-tiny-bs1-eager]")
    outcome = spread(gate, *CHEAP)
    assert outcome.code == ExitCode.ERROR, outcome.text
    lost = outcome.record("calls", "qwen-image/mxfp8-tiny-bs1-eager")
    assert lost.verdict is Verdict.ERROR
    assert "crashed" in lost.message
    assert {record.case for record in outcome.records} == BOTH
    assert len(outcome.records) == len(BOTH)
    assert sum(record.verdict is Verdict.PASS for record in outcome.records) >= 3, "the other model's, at least"


def test_workers_time_and_record_too(gate: Gate, witness: Path, tmp_path: Path) -> None:
    """pytest-benchmark disables itself under xdist; a worker that has a GPU of its own times all the same."""
    chosen = ["flux1-dev/fp8-tiny-bs1-eager", "flux1-dev/mxfp8-meta-bs1-eager"]
    arguments = [*(f"--case={case}" for case in chosen), *gates("speed", "kernels", "roofline"), "--rehearse", "b200"]
    outcome = spread(gate, *arguments, "--rebaseline", "--reason", "first night", baselines=tmp_path)
    assert outcome.code == 0, outcome.text
    assert "judges no speed; measured" in outcome.record("speed").message
    assert (tmp_path / "cpu" / "flux1-dev" / "fp8-tiny-bs1-eager.json").is_file()
    assert outcome.says("flux1-dev/fp8-tiny-bs1-eager: recorded speed")
    (stored,) = outcome.folder.glob("benchmark-gw*.json")
    assert len(json.loads(stored.read_text())["benchmarks"]) == 1


def test_what_a_worker_recorded_is_told_even_when_its_last_message_is_lost(
    gate: Gate, witness: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WITNESS_KILLS", "the last message")
    case = "flux1-dev/mxfp8-tiny-bs1-eager"
    recording = ["--rebaseline", "--reason", "first night"]
    outcome = spread(gate, "--case", case, *gates("manifest"), *recording, baselines=tmp_path)
    assert outcome.code == 0, outcome.text
    assert (tmp_path / "cpu" / f"{case}.json").is_file()
    assert outcome.says(f"{case}: recorded manifest")
    run = read_run(outcome.folder)
    assert run.finished
    assert run.header is not None
    assert run.header.metric == METRIC


# ---- the pure parts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "visible", "listed", "expected"),
    [
        (2, None, ["GPU-a", "GPU-b", "GPU-c"], ["GPU-a", "GPU-b"]),
        (2, "3,1", ["GPU-a", "GPU-b", "GPU-c", "GPU-d"], ["3", "1"]),
        (3, None, [], ["0", "1", "2"]),
    ],
)
def test_workers_get_what_this_process_may_use(
    wanted: int, visible: str | None, listed: list[str], expected: list[str]
) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert shards.devices(wanted, environment, listed) == expected


def test_too_few_gpus_are_one_sentence() -> None:
    with pytest.raises(shards.NotEnoughGpus, match=r"--gpus 4: this machine offers 1 \(CUDA_VISIBLE_DEVICES=0\)"):
        shards.devices(4, {"CUDA_VISIBLE_DEVICES": "0"}, ["GPU-a", "GPU-b"])


def test_a_gpu_is_claimed_once_and_free_again_after_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    first = shards.claim("gw0", ["0", "1"], tmp_path)
    second = shards.claim("gw1", ["0", "1"], tmp_path)
    assert (first.device, second.device) == ("0", "1")
    with pytest.raises(shards.NotEnoughGpus, match="gw2 finds no free GPU among 2"):
        shards.claim("gw2", ["0", "1"], tmp_path)
    first.lock.release()
    assert shards.claim("gw3", ["0", "1"], tmp_path).device == "0"


def test_node_ids_name_gate_and_case() -> None:
    assert gate_and_case("tests/gate/test_speed.py::test_x[ltx-2/nvfp4-hub-bs8-regional]") == (
        "speed",
        "ltx-2/nvfp4-hub-bs8-regional",
    )
