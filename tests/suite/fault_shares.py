"""The faults of the catalogue in two shares, so that two workers take about equally long.

One fault stands for all that turn the same gates of the same case red; `nox -s faults` runs every one.
"""

from __future__ import annotations

import importlib.util

import pytest
from _pytest.mark import ParameterSet

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
    """The first fault of each file that turns its gates of its case red. Those of generated code are injected into toy
    blocks elsewhere (`tests/suite/pipelines/test_device_code.py`), all of them."""
    first: dict[tuple[object, ...], Fault] = {}
    for fault in catalog().values():
        if set(fault.red) == {"code"}:
            continue
        first.setdefault((fault.file, fault.case, frozenset(fault.red)), fault)
    return list(first.values())


def caught(fault_run: FaultRun, fault: Fault) -> None:
    """Assert that the gates that the fault names catch it, for the reasons that it names, and that no other is red."""
    said = fault_run.judge(fault)
    outcome = Outcome(fault=fault, judgements=said.judgements, seconds=said.seconds)
    assert outcome.right, {gate: (found, said.judgements[gate].message) for gate, found in outcome.detections.items()}
