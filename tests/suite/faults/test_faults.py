"""The whole catalogue of faults through the gates of tests/gate: each is caught by the gates that it names.

Real tiny checkpoints, committed baselines and limits, one process, a clock that counts work: no verdict depends on how
busy the machine is.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest

from fixtures import ROOT
from fixtures.catalog import FORMATS, GATES, models, parse_case
from fixtures.faults import Unknown, catalog, find
from fixtures.faults.bench import Bench, Sitting, gate_function
from fixtures.faults.outcome import Cell, outcome_of, score
from fixtures.faults.schema import Fault, registered
from fixtures.faults.sweeps import MODELS, OPERANDS, SWEEPS, swept
from fixtures.gates.pictures.metric import load_metric
from fixtures.gates.verdict import Verdict, against, equals, failed, settle, skipped
from fixtures.report.likeness import looks_like
from tests.suite.record_samples import record

HAPPENED = """
pytorch 164301, pytorch 174575, pytorch 190449, pytorch 168995, pytorch 159170, ao 3783, ao 3121, ao 3155, ao 3140,
ao 3123, ao 2705, ao 4278, ao 4326, ao 3867, ao 2932, ao 3471, ao 4590, ao 4698, ao 4765, MSLK 239, diffusers 14667,
diffusers 14303, diffusers 14097, diffusers 13286, diffusers 12901, diffusers 13931, diffusers 14447, vllm 45741,
sglang 23625, sglang 18336, sglang 38335
"""
FAULTS = catalog()


@pytest.fixture(scope="module")
def bench() -> Bench:
    """One workbench for all faults: what is healthy is measured once."""
    return Bench(metric=load_metric("auto"), baselines=ROOT / "baselines")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught_by_the_gates_that_it_names(bench: Bench, name: str) -> None:
    fault = FAULTS[name]
    sitting = bench.judge(fault)
    outcome = outcome_of(fault, sitting.judgements, sitting.seconds)
    assert outcome.right, {gate: (cell, outcome.messages[gate]) for gate, cell in outcome.cells.items()}


def test_the_libraries_are_whole_again_afterwards(bench: Bench) -> None:
    case = parse_case("flux1-dev/nvfp4-tiny-bs1-eager")
    sitting = bench.healthy(case, ("manifest", "memory", "arithmetic", "calls", "kernels", "round_trip", "speed"))
    assert {gate: judgement.message for gate, judgement in sitting.judgements.items() if sitting.red_checks()} == {}


def test_every_regression_that_happened_is_in_the_catalogue() -> None:
    known = {source for fault in FAULTS.values() for source in fault.sources}
    assert set(" ".join(HAPPENED.split()).split(", ")) <= known
    assert len(FAULTS) >= 24


def test_every_gate_is_shown_to_fail() -> None:
    """Apart from `digest`, which is never red, and `roofline`, whose numbers are the catalog's own."""
    assert set(GATES) - {gate for fault in FAULTS.values() for gate in fault.red} <= {"digest", "roofline"}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.name)
def test_an_entry_speaks_of_things_that_exist(fault: Fault) -> None:
    case = parse_case(fault.case)
    assert case.checkpoint == "tiny"
    assert "tiny" in models()[case.model].samplings
    assert set(fault.gates) <= set(GATES)
    assert not set(fault.red) & set(fault.passes)
    assert all(re.match(r"https://github\.com/[\w-]+/[\w-]+/issues/\d+$", link) for link in fault.links)
    assert fault.models.endswith((".", "GB/s."))
    for pattern in (*fault.fails.values(), *fault.errors.values()):
        re.compile(pattern)


@pytest.mark.parametrize("gate", GATES)
def test_each_gate_is_one_test_function(gate: str) -> None:
    assert callable(gate_function(gate))


def test_an_unknown_fault_is_one_sentence() -> None:
    with pytest.raises(Unknown, match=r"unknown fault 'typo'; choose from: .*scale_result_is_ignored"):
        find("typo")


def test_the_score_tells_escaped_and_false_alarms_by_name() -> None:
    fault = dataclasses.replace(
        FAULTS["matmul_falls_back"], fails={"kernels": "matmuls 0"}, passes=("velocity", "memory")
    )
    judgements = {
        "kernels": settle([failed("kernels", "matmuls 7")]),
        "velocity": settle([failed("velocity", "x")]),
        "memory": settle([skipped("memory", "not here")]),
    }
    outcome = outcome_of(fault, judgements, 1.0)
    assert outcome.cells == {"kernels": Cell.OTHER_REASON, "velocity": Cell.FALSE_ALARM, "memory": Cell.QUIET}
    total = score([outcome])
    assert (total.caught, total.faults, total.share) == (0, 1, 0.0)
    assert total.escaped == ("matmul_falls_back: kernels",)
    assert total.false_alarms == ("matmul_falls_back: velocity",)


def _judged(red: dict[str, float], seen: list[tuple[float, tuple[str, ...]]]) -> Callable[[Fault], Sitting]:
    """A bench whose gates are red from a size on; it notes what it was asked."""

    def judge(fault: Fault) -> Sitting:
        size = float(fault.name.rpartition(" ")[2])
        seen.append((size, fault.red))
        limit = {gate: against(gate, size, ceiling=red[gate] * 0.99, unit="x", source="a test's own") for gate in red}
        return Sitting(judgements={gate: settle([limit[gate]]) for gate in fault.red}, seconds=0.0)

    return judge


def test_a_sweep_goes_on_until_nothing_is_red_and_brackets_each_gate() -> None:
    sweep = dataclasses.replace(SWEEPS[0], sizes=(0.3, 0.1, 0.03), gates=("velocity", "quality"))
    seen: list[tuple[float, tuple[str, ...]]] = []
    *_, (velocity, quality) = swept(sweep, _judged({"velocity": 0.01, "quality": 0.3}, seen))
    assert (quality.smallest_red, quality.largest_green) == (0.3, 0.1)
    assert (velocity.smallest_red, velocity.largest_green) == (0.015, 0.0075)
    assert seen[0] == (0.3, ("velocity", "quality"))
    assert seen[2] == (0.03, ("velocity",)), "a gate that is green is not asked about smaller ones"
    assert velocity.measured[0.03]["velocity"] == {
        "value": 0.03,
        "floor": None,
        "ceiling": pytest.approx(0.0099),
        "unit": "x",
        "red": True,
    }


def test_a_sweep_does_not_go_below_the_smallest_size_that_there_is() -> None:
    sweep = dataclasses.replace(SWEEPS[0], sizes=(4, 2, 1), least=1, gates=("manifest",))
    *_, (manifest,) = swept(sweep, _judged({"manifest": 1}, []))
    assert (manifest.smallest_red, manifest.largest_green) == (1, None)


def test_names_and_sweeps_are_each_their_own() -> None:
    assert set(registered) == set(FAULTS)
    assert len({(sweep.name, sweep.case) for sweep in SWEEPS}) == len(SWEEPS)
    assert {model for model, entry in models().items() if "tiny" in entry.samplings} == set(MODELS)
    assert {name for name, entry in FORMATS.items() if not entry.is_reference} == set(OPERANDS)
    for sweep in SWEEPS:
        assert list(sweep.sizes) == sorted(sweep.sizes, reverse=True)
        assert set(sweep.fault(sweep.sizes[0]).red) == set(sweep.gates)


def test_a_red_run_is_likened_to_the_measured_patterns() -> None:
    case = "flux1-dev/nvfp4-tiny-bs1-eager"
    checks = [failed("matmuls of another kind", "x"), equals("nvfp4 matmuls", 0, 528)]
    red = record("kernels", case, checks)
    assert red.verdict is Verdict.FAIL
    (sentences,) = looks_like([red]).values()
    assert sentences[0].startswith("looks like other_format_is_taken")
    assert looks_like([record("kernels", case, [skipped("kernels", "not here")])]) == {}
