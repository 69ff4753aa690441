"""Only a machine that others took is disturbed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fixtures.machine.cpu_window import CpuWindow, cpu_disturbance

TAKEN = CpuWindow(wall_seconds=10, cores=2, own_seconds=1, busy_seconds=19.5)


def test_a_machine_taken_by_others_is_disturbed() -> None:
    assert cpu_disturbance(TAKEN).startswith("other processes took 92% of this machine's 2 cores while the rounds ran")


@pytest.mark.parametrize(
    "quiet",
    [
        replace(TAKEN, own_seconds=4.0),  # a fifth of it is ours
        replace(TAKEN, busy_seconds=18.0),  # a core is idle now and then
        replace(TAKEN, wall_seconds=0.4, busy_seconds=0.8, own_seconds=0.0),  # too short to count ticks
        replace(TAKEN, cores=0),
    ],
)
def test_ordinary_company_disturbs_nothing(quiet: CpuWindow) -> None:
    assert cpu_disturbance(quiet) == ""
