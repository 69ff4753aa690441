"""What the command line selects, in which order it runs, and what pytest is kept from saying."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from fixtures.catalog import LANES, UnknownName, models
from fixtures.catalog.schema import Case
from fixtures.faults.in_selection import nothing_is_quantized
from fixtures.faults.patching import Patch
from fixtures.gates.registry import AnyGate
from fixtures.gates.registry import gates as every_gate
from fixtures.run.options import RunOptions
from fixtures.run.plan import plan as plan_of
from tests.suite import gate_runs
from tests.suite.gate_runs import BF16, NVFP4, NVFP4_BS2, cases, gates


def plan(lane: str = "cpu", **options: Any) -> dict[Case, tuple[AnyGate, ...]]:
    """The plan of a run with these options."""
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }
    return plan_of(RunOptions(lane=lane, **given), "cpu").gates


def ids(found: dict[Case, tuple[AnyGate, ...]]) -> list[str]:
    """The cases' ids, in their order."""
    return [case.id for case in found]


@pytest.mark.parametrize("lane", list(LANES))
def test_a_lane_runs_whole_cases_and_each_gate_in_its_order(lane: str) -> None:
    found = plan(lane)
    for case, named in found.items():
        assert named
        assert list(named) == sorted(named, key=lambda gate: gate.order), case
    checkpoint = LANES[lane].checkpoint
    spoken = {gate.name for named in found.values() for gate in named}
    modes = {case.compile_mode for case in found}
    assert spoken == {
        name
        for name, gate in every_gate().items()
        if {checkpoint, "meta"} & set(gate.applies.checkpoints) and modes & set(gate.applies.modes or modes)
    }
    assert {case.model for case in found} == set(models())


def test_shapes_are_judged_first_because_they_take_seconds() -> None:
    checkpoints = [case.checkpoint for case in plan()]
    assert checkpoints == sorted(checkpoints, key="meta".__ne__)


def test_what_does_not_depend_on_the_batch_runs_at_the_first_one_only() -> None:
    found = {case.id: {gate.name for gate in named} for case, named in plan(model=["flux1-dev"]).items()}
    assert {"manifest", "determinism", "round_trip", "compile"} <= found[NVFP4]
    assert not {"manifest", "determinism", "round_trip", "compile"} & found[NVFP4_BS2]
    assert {"arithmetic", "velocity", "quality", "kernels", "calls", "memory"} <= found[NVFP4_BS2]
    # The baseline of batch 2 alone holds no manifest; one of batch 3, which no lane runs, would.
    for batch, expected in ((2, False), (3, True)):
        only = plan(case=[f"flux1-dev/nvfp4-tiny-bs{batch}-eager"])
        assert ("manifest" in {gate.name for gate in next(iter(only.values()))}) is expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"case": [NVFP4]}, [NVFP4]),
        ({"case": [NVFP4, NVFP4, "flux1-dev/nvfp4-tiny-*"]}, [NVFP4, NVFP4_BS2]),
        ({"case": ["flux1-dev/bf16-tiny*"]}, [BF16, "flux1-dev/bf16-tiny-bs2-eager"]),
        ({"case": ["flux1-dev/nvfp4-tiny-bs7-eager"]}, ["flux1-dev/nvfp4-tiny-bs7-eager"]),
        ({"case": ["flux1-dev"], "gate": ["reference"]}, [BF16, "flux1-dev/bf16-tiny-bs2-eager"]),
        ({"model": ["flux1-dev"], "format": ["bf16"], "batch": [1], "gate": ["calls"]}, [BF16]),
        (
            {"model": ["flux1-dev"], "gate": ["roofline"], "format": ["mxfp8"]},
            [f"flux1-dev/mxfp8-meta-bs{batch}-eager" for batch in (1, 4, 8)],
        ),
    ],
)
def test_options_narrow_and_a_full_id_may_lie_outside_the_lane(options: dict[str, Any], expected: list[str]) -> None:
    assert ids(plan(**options)) == expected


def test_the_b200_lane_takes_published_batches_modes_and_weights() -> None:
    found = [case for case in plan("b200", model=["flux1-dev"]) if case.checkpoint != "meta"]
    assert {(case.batch_size, case.compile_mode) for case in found} == {
        (1, "reduce-overhead"),
        (4, "regional"),
        (8, "regional"),
    }
    assert {case.checkpoint for case in found} == {"hub"}
    assert {case.format for case in found} == {"bf16", "mxfp8", "nvfp4"}


@pytest.mark.parametrize(
    "options", [{"model": ["x"]}, {"format": ["x"]}, {"gate": ["x"]}, {"case": ["x"]}, {"case": ["x*"]}]
)
def test_an_unknown_word_is_refused_wherever_it_stands(options: dict[str, Any]) -> None:
    with pytest.raises(UnknownName, match="'x"):
        plan(**options)


def test_a_run_leaves_its_verdicts_for_other_programs(gate: gate_runs.Gate) -> None:
    outcome = gate(*cases(BF16, NVFP4), *gates("calls", "manifest", "kernels"))
    assert [(record.case, record.gate) for record in outcome.records] == [
        (BF16, "calls"),
        (NVFP4, "manifest"),
        (NVFP4, "calls"),
        (NVFP4, "kernels"),
    ]
    suite = ElementTree.parse(outcome.folder / "junit.xml").getroot()
    assert [(one.get("classname"), one.get("name")) for one in suite.iter("testcase")] == [
        (record.case, record.gate) for record in outcome.records
    ]
    summary = json.loads((outcome.folder / "report.json").read_text())
    assert summary["verdict"] == "green"
    assert summary["cases"][NVFP4] == {"manifest": "pass", "calls": "pass", "kernels": "pass"}
    header = json.loads((outcome.folder / "run.json").read_text())
    assert header["planned"] == 4
    assert header["cases"] == [BF16, NVFP4]
    assert header["metric"] == "", "nothing compared pictures"
    assert header["finished_at"]


def test_a_red_gate_is_told_once_and_without_a_traceback(gate: gate_runs.Gate, patch: Patch) -> None:
    nothing_is_quantized(patch)
    outcome = gate(*cases(NVFP4), *gates("memory"))
    sentence = "saved 0 GB below floor 0.005832 GB"
    # The line as the gate ends, and the list of what is red.
    assert " ".join(outcome.text.split()).count(sentence) == 2
    assert "Traceback" not in outcome.text
    assert "test_memory.py" not in outcome.text


def test_collecting_alone_judges_nothing_and_is_no_failure(gate: gate_runs.Gate) -> None:
    outcome = gate(*cases(NVFP4), "--collect-only", "-q")
    assert outcome.code == 0
    assert f"test_memory.py::test_quantization_saves_the_bytes_that_the_format_promises[{NVFP4}]" in outcome.text
    assert "exit code" not in outcome.text


def test_overrides_of_the_stack_stand_in_the_header(gate: gate_runs.Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    override = {"package": "torchao", "given": "0.17.0", "pinned": "0.18.0"}
    monkeypatch.setenv("GATE_OVERRIDES", json.dumps([override]))
    outcome = gate(*cases(BF16), *gates("calls"))
    assert outcome.says("overridden: torchao 0.17.0 (override; pinned ==0.18.0)")
    assert json.loads((outcome.folder / "run.json").read_text())["overrides"] == [override]
    assert outcome.record("calls").reproduce[:6] == ["nox", "-s", "gate", "--", "--torchao", "0.17.0"]
