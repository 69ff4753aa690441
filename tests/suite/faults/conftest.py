"""One fault run a worker."""

from __future__ import annotations

import pytest

from fixtures import ROOT
from fixtures.faults.fault_run import FaultRun, open_fault_run


@pytest.fixture(scope="session")
def fault_run() -> FaultRun:
    """One for all faults of a worker: what is healthy is measured once. Real tiny checkpoints, committed baselines and
    limits, and a clock that counts work: no verdict depends on how busy the machine is."""
    return open_fault_run(ROOT / "baselines")
