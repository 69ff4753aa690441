"""The faults of the catalogue in two shares, so that two workers take about equally long.

As few as turn every gate red that some fault of the same file, model or format does; `nox -s faults` runs every one.
"""

from __future__ import annotations

import importlib.util

import pytest
from _pytest.mark import ParameterSet

from fixtures.catalog import parse_case
from fixtures.faults import Fault, catalog
from fixtures.faults.fault_run import FaultRun
from fixtures.faults.outcome import Outcome

LONG = ("in_matmul", "in_operands")
"""Files of faults in numbers: most are looked at by many gates, on all prompts."""


def share(*, of_numbers: bool) -> list[ParameterSet]:
    """The faults of these files, or of all others, that stand for the rest."""
    lacking = pytest.mark.skipif(
        importlib.util.find_spec("mslk") is None, reason="mslk has wheels for Linux on x86-64 alone"
    )
    return [
        pytest.param(fault, id=fault.name, marks=[lacking] if fault.file == "in_quantizer" else [])
        for fault in standing_for_others()
        if (fault.file in LONG) == of_numbers
    ]


def standing_for_others() -> list[Fault]:
    """Chosen one after the other, each for most that the others leave out. Those of generated code are injected into
    toy blocks elsewhere (`tests/suite/pipelines/test_device_code.py`), all of them."""
    others = [fault for fault in catalog().values() if set(fault.red) != {"code"}]
    uncovered = set().union(*map(_reds, others))
    chosen: list[Fault] = []
    while uncovered:
        chosen.append(max(others, key=lambda fault: len(_reds(fault) & uncovered)))
        uncovered -= _reds(chosen[-1])
    return chosen


def _reds(fault: Fault) -> set[tuple[str, str]]:
    """(file, model or format, gate) of every gate that the fault turns red; of one that turns none red, its file."""
    case = parse_case(fault.case)
    return {(where, gate) for gate in fault.red or ("none",) for where in (fault.file, case.model, case.format)}


def caught(fault_run: FaultRun, fault: Fault) -> None:
    """Assert that the gates that the fault names catch it, for the reasons that it names, and that no other is red."""
    said = fault_run.judge(fault)
    outcome = Outcome(fault=fault, judgements=said.judgements, seconds=said.seconds)
    assert outcome.right, {gate: (found, said.judgements[gate].message) for gate, found in outcome.detections.items()}
