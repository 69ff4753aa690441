"""The catalogue of faults and what is concluded of it. The faults themselves are in the files beside this one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fixtures.catalog import UnknownName, models, parse_case
from fixtures.faults import Unknown, catalog, find
from fixtures.faults.fault_run import FaultRun, NoBaselines, Verdicts
from fixtures.faults.outcome import Detection, Outcome, score
from fixtures.faults.records import Measured
from fixtures.faults.schema import Fault
from fixtures.faults.sweeps import chosen_sweeps, swept
from fixtures.gates.pictures.metric import load_metric
from fixtures.gates.registry import find_gate, gates
from fixtures.gates.verdict import Judgement, against, equals, failed, settle, skipped
from fixtures.report.known_faults import known_patterns, red_evidence, resembling
from tests.suite.contexts import tiny

HAPPENED = """
pytorch 164301, pytorch 174575, pytorch 190449, pytorch 168995, pytorch 159170, ao 3783, ao 3121, ao 3155, ao 3140,
ao 3123, ao 2705, ao 4278, ao 4326, ao 3867, ao 2932, ao 3471, ao 4590, ao 4698, ao 4765, MSLK 239, diffusers 14667,
diffusers 14303, diffusers 14097, diffusers 13286, diffusers 12901, diffusers 13931, diffusers 14447, vllm 45741,
sglang 23625, sglang 18336, sglang 38335
"""
FAULTS = catalog()


def test_the_catalogue_has_what_happened_and_shows_every_gate_to_fail() -> None:
    """Apart from `digest`, which is never red, `roofline`, whose numbers are the catalog's own, `graphs`, which no CPU
    captures (docs/studies/graphs-and-attention.md has its fault on a GPU), and `launches`, which a GPU's profile alone
    can contradict (tests/suite/gates/test_launches_gate.py)."""
    known = {source for fault in FAULTS.values() for source in fault.sources}
    beyond = {"digest", "roofline", "graphs", "launches"}
    assert set(" ".join(HAPPENED.split()).split(", ")) <= known
    assert set(gates()) - {gate for fault in FAULTS.values() for gate in fault.red} <= beyond


def test_an_entry_speaks_of_things_that_exist() -> None:
    for fault in FAULTS.values():
        case = parse_case(fault.case)
        assert case.checkpoint == ("meta" if fault.file == "in_code" else "tiny"), fault.name
        assert "tiny" in models()[case.model].samplings, fault.name
        assert all(find_gate(gate) for gate in fault.gates), fault.name
        assert not set(fault.red) & set(fault.passes), fault.name
        assert all(re.match(r"https://github\.com/[\w-]+/[\w-]+/issues/\d+$", link) for link in fault.links), fault.name
        assert fault.models.endswith((".", "GB/s.")), fault.name
        assert all(re.compile(pattern) for pattern in (*fault.fails.values(), *fault.errors.values())), fault.name


def test_an_unknown_fault_or_sweep_is_one_sentence() -> None:
    with pytest.raises(Unknown, match=r"unknown fault 'typo'; choose from: .*scale_result_is_ignored"):
        find("typo")
    with pytest.raises(Unknown, match=r"unknown sweep 'typo'; choose from: .*operand noise"):
        chosen_sweeps(names=["typo"])


def test_the_score_tells_escaped_and_false_alarms_by_name() -> None:
    fault = dataclasses.replace(
        FAULTS["matmul_falls_back"], fails={"kernels": "matmuls 0"}, passes=("velocity", "memory")
    )
    outcome = Outcome(
        fault=fault,
        judgements={
            "kernels": settle([failed("kernels", "matmuls 7")]),
            "velocity": settle([failed("velocity", "x")]),
            "memory": settle([skipped("memory", "not here")]),
        },
        seconds=1.0,
    )
    assert outcome.detections == {
        "kernels": Detection.OTHER_REASON,
        "velocity": Detection.FALSE_ALARM,
        "memory": Detection.QUIET,
    }
    total = score([outcome])
    assert (total.caught, total.faults, total.share) == (0, 1, 0.0)
    assert total.escaped == ("matmul_falls_back: kernels",)
    assert total.false_alarms == ("matmul_falls_back: velocity",)


def _judged(red: Mapping[str, float], seen: list[tuple[float, tuple[str, ...]]]) -> Callable[[Fault], Verdicts]:
    """A fault run whose gates are red from a size on; it notes what it was asked."""

    def judge(fault: Fault) -> Verdicts:
        size = float(fault.name.rpartition(" ")[2])
        seen.append((size, fault.red))

        def said(gate: str) -> Judgement:
            return settle([against(gate, size, ceiling=red[gate] * 0.99, unit="x", source="a test's own")])

        return Verdicts(judgements={gate: said(gate) for gate in fault.red}, seconds=0.0)

    return judge


def test_a_sweep_goes_on_until_nothing_is_red_and_brackets_each_gate() -> None:
    noise = dataclasses.replace(chosen_sweeps()[0], sizes=(0.3, 0.1, 0.03), gates=("velocity", "quality"))
    seen: list[tuple[float, tuple[str, ...]]] = []
    *_, (velocity, quality) = swept(noise, _judged({"velocity": 0.01, "quality": 0.3}, seen))
    assert (quality.smallest_red, quality.largest_green) == (0.3, 0.1)
    assert (velocity.smallest_red, velocity.largest_green) == (0.015, 0.0075)
    assert velocity.bracket() == "red from 0.015, green to 0.0075 of each value"
    assert seen[0] == (0.3, ("velocity", "quality"))
    assert seen[2] == (0.03, ("velocity",)), "a gate that is green is not asked about smaller ones"
    measured = Measured(value=0.03, ceiling=0.01 * 0.99, unit="x", red=True)
    assert velocity.measured["0.03"]["velocity"] == measured
    linears = dataclasses.replace(noise, sizes=(4, 2, 1), least=1, gates=("manifest",))
    *_, (manifest,) = swept(linears, _judged({"manifest": 1}, []))
    assert (manifest.smallest_red, manifest.largest_green) == (1, None), "there is no smaller size"


def test_sweeps_are_each_their_own_and_a_new_model_joins_them(monkeypatch: pytest.MonkeyPatch) -> None:
    every = chosen_sweeps()
    assert len({(sweep.name, sweep.case) for sweep in every}) == len(every)
    for sweep in every:
        assert list(sweep.sizes) == sorted(sweep.sizes, reverse=True)
        assert set(sweep.fault(sweep.sizes[0], sweep.gates).red) == set(sweep.gates)
    monkeypatch.setenv("GATE_MODELS", str(Path(__file__).parents[1] / "flux2_klein.py"))
    one = {sweep.name for sweep in every if parse_case(sweep.case).model == "qwen-image"}
    assert {sweep.name for sweep in chosen_sweeps(model_names=["flux2-klein"])} == one


def test_other_prompts_are_handed_in_and_limits_alone_judge_them() -> None:
    flux = models()["flux1-dev"]
    drawn = flux.samplings["tiny"]
    other = dataclasses.replace(drawn, prompts=drawn.prompts[2:3])
    run = FaultRun(
        metric=load_metric(),
        baselines=lambda _: NoBaselines(),
        folder=Path("nothing is read"),
        models={"flux1-dev": dataclasses.replace(flux, samplings={"tiny": other})},
    )
    said = run.healthy(tiny("nvfp4"), ("kernels", "velocity"))
    assert said.red == {}
    assert [check.name for check in said.judgements["velocity"].checks if "baseline" in check.name] == []
    with pytest.raises(UnknownName, match="unknown gate 'typo'"):
        run.healthy(tiny("nvfp4"), ("typo",))


def test_a_red_run_is_likened_to_the_measured_patterns_and_two_signals_are_not() -> None:
    known = known_patterns()
    taken = next(one for one in known if one.fault == "other_format_is_taken")
    first, *_ = resembling(format="nvfp4", red=taken.red, green=taken.green, known=known)
    assert first.sentence().startswith("looks like other_format_is_taken")
    checks = [failed("matmuls of another kind", "x"), equals("nvfp4 matmuls", 0, 528)]
    assert not resembling(format="nvfp4", red={"kernels": red_evidence(checks)}, green=(), known=known)
