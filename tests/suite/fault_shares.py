"""The faults of the catalogue in two shares, so that two workers take about equally long."""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet

from fixtures.faults import Fault, catalog
from fixtures.faults.fault_run import FaultRun
from fixtures.faults.outcome import Outcome

LONG = ("in_matmul", "in_operands")
"""Files of faults in numbers: most are looked at by many gates, on all prompts."""
ELSEWHERE = ("in_quantizer", "in_code")
"""Files of faults that one gate sees, and without a pipeline: tests/suite/gates/test_quantizer_gate.py injects some,
tests/suite/pipelines/test_device_code.py the others into a toy's code."""


def share(*, of_numbers: bool) -> list[ParameterSet]:
    """The faults of these files, or of all others; those of ELSEWHERE are left to their gate's own test."""
    return [
        pytest.param(fault, id=fault.name)
        for fault in catalog().values()
        if (fault.file in LONG) == of_numbers and fault.file not in ELSEWHERE
    ]


def caught(fault_run: FaultRun, fault: Fault) -> None:
    """Assert that the gates that the fault names catch it, for the reasons that it names, and that no other is red."""
    said = fault_run.judge(fault)
    outcome = Outcome(fault=fault, judgements=said.judgements, seconds=said.seconds)
    assert outcome.right, {gate: (found, said.judgements[gate].message) for gate, found in outcome.detections.items()}
