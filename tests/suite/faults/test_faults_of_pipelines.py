"""Faults of pipelines, compilation, storage, time and the stack: each is caught by the gates that it names."""

from __future__ import annotations

import pytest

from fixtures.catalog import parse_case
from fixtures.faults import Fault
from fixtures.faults.fault_run import FaultRun
from tests.suite.fault_shares import caught, share


@pytest.mark.parametrize("fault", share(of_numbers=False))
def test_a_fault_is_caught_by_the_gates_that_it_names(fault_run: FaultRun, fault: Fault) -> None:
    caught(fault_run, fault)


def test_the_libraries_are_whole_again_afterwards(fault_run: FaultRun) -> None:
    case = parse_case("flux1-dev/nvfp4-tiny-bs1-eager")
    gates = ("manifest", "memory", "arithmetic", "calls", "kernels", "round_trip", "speed")
    assert {gate: said.message for gate, said in fault_run.healthy(case, gates).red.items()} == {}
