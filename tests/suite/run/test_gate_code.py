"""Whole runs of the code gate, of code that no compiler made: recorded, judged, red with the diff in the report."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version as versions
from pathlib import Path

import pytest

from fixtures.gates.verdict import ExitCode
from fixtures.pipelines.device_code.block_code import BlockCode, Kernel, ModelCode
from fixtures.pipelines.device_code.private_names import PrivateNameMoved
from fixtures.results.baselines import StoredBaselines
from tests.suite.gate_runs import Gate, cases, gates

CASE = "flux1-dev/bf16-meta-bs1-eager"
ARGUMENTS = [*cases(CASE), *gates("code")]
KERNEL = Kernel(
    name="triton_poi_fused_add", launches=1, bytes=1_000_000, registers=(16,), stack_bytes=0, target="sm_100a"
)
BLOCK = BlockCode(name="Block", repeats=19, quantized_linears=0, kernels=(KERNEL,), products=(), operators=())
HEALTHY = ModelCode(
    blocks=(BLOCK,), graph_breaks={}, sources={"Block": "def call():\n    triton_poi_fused_add.run()\n"}
)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[ModelCode | Exception]:
    """What making code comes to, the last entry."""
    outcomes: list[ModelCode | Exception] = [HEALTHY]

    def model_code(*_: object) -> ModelCode:
        outcome = outcomes[-1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr("fixtures.pipelines.device_code.generate.model_code", model_code)
    return outcomes


def test_recorded_code_is_green_until_a_kernel_appears(made: list[ModelCode | Exception], tmp_path: Path) -> None:
    gate = Gate(scratch=tmp_path, baselines=tmp_path / "baselines", checkpoints=None)
    missing = gate(*ARGUMENTS)
    assert missing.code == ExitCode.FAIL
    assert missing.record("code").next[:3] == ["nox", "-s", "rebaseline"]
    assert gate(*ARGUMENTS, "--rebaseline", "--reason", "a first time").code == ExitCode.GREEN
    assert sorted(path.name for path in (tmp_path / "baselines/released/flux1-dev").iterdir()) == [
        "bf16-meta-bs1-eager.json",
        "bf16-meta-bs1-eager.py.xz",
    ]
    assert gate(*ARGUMENTS).code == ExitCode.GREEN
    other = replace(KERNEL, name="triton_poi_fused_clone")
    made.append(
        replace(
            HEALTHY,
            blocks=(replace(BLOCK, kernels=(KERNEL, other)),),
            sources={"Block": HEALTHY.sources["Block"] + "    triton_poi_fused_clone.run()\n"},
        )
    )
    red = gate(*ARGUMENTS)
    assert red.code == ExitCode.FAIL
    record = red.record("code")
    assert "Block launches 2, expected 1 (kernel appeared: triton_poi_fused_clone (1 MB))" in record.message
    assert "+    triton_poi_fused_clone.run()" in (red.folder / record.diff).read_text()
    assert "triton_poi_fused_clone.run()" in red.page
    assert [one.name for one in record.quantities] == ["launches", "kernel bytes"]


def test_a_name_that_a_release_moved_is_an_error_with_that_name(
    made: list[ModelCode | Exception], tmp_path: Path
) -> None:
    made.append(PrivateNameMoved("torch._inductor.graph:GraphLowering.codegen"))
    outcome = Gate(scratch=tmp_path, baselines=tmp_path / "baselines", checkpoints=None)(*ARGUMENTS)
    assert outcome.code == ExitCode.ERROR
    (check,) = outcome.record("code").checks
    assert (check.cause, check.what) == ("private name moved", "torch._inductor.graph:GraphLowering.codegen")
    assert "torch._inductor.graph.GraphLowering.codegen is not in the installed stack" in check.note


def test_the_verdict_says_which_release_the_baseline_was_recorded_for(
    made: list[ModelCode | Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(scratch=tmp_path, baselines=tmp_path / "baselines", checkpoints=None)
    assert gate(*ARGUMENTS, "--rebaseline", "--reason", "a first time").code == ExitCode.GREEN
    made.append(replace(HEALTHY, blocks=(replace(BLOCK, kernels=(replace(KERNEL, registers=(12,)),)),)))
    assert gate(*ARGUMENTS).code == ExitCode.FAIL
    here = versions("torch").partition("+")[0]
    for release, stands in (
        ("1.0.0", "which is older: only a change for the worse is red"),
        ("99.0.0", "which is newer"),
    ):
        monkeypatch.setattr(StoredBaselines, "recorded_with", lambda *_, torch=release: {"torch": torch})
        outcome = gate(*ARGUMENTS)
        assert outcome.code == ExitCode.GREEN
        note = outcome.record("code").note
        assert note.startswith(f"the baseline was recorded for torch {release} (here {here}), {stands}")
        assert note.partition(";")[0] in outcome.page
