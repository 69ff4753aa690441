"""Faults of products and operands: each is caught by the gates that it names, and by no other."""

from __future__ import annotations

import pytest

from fixtures.faults import Fault
from fixtures.faults.fault_run import FaultRun
from tests.suite.fault_shares import caught, share


@pytest.mark.parametrize("fault", share(of_numbers=True))
def test_a_fault_is_caught_by_the_gates_that_it_names(fault_run: FaultRun, fault: Fault) -> None:
    caught(fault_run, fault)
