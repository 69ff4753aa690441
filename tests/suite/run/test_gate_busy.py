"""Other work on the machine, and more threads: no verdict changes but speed's, and speed does not say fail."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.gates.verdict import ExitCode
from tests.suite.gate_runs import BF16, NVFP4, Gate, Outcome, cases, gates

STEADY = ("manifest", "memory", "arithmetic", "reference", "calls", "kernels", "velocity", "quality", "digest")


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Inside, another process wants a processor all the time."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            yield
        finally:
            other.kill()


@pytest.fixture(scope="module")
def timed(recording: tuple[Gate, Outcome], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Baselines with a speed section of this machine's own clock."""
    gate, _ = recording
    baselines = Path(shutil.copytree(gate.baselines, tmp_path_factory.mktemp("busy") / "baselines"))
    outcome = gate(
        *cases(NVFP4), *gates("kernels", "speed"), "--rebaseline", "--reason", "a real clock", baselines=baselines
    )
    assert outcome.code == ExitCode.GREEN, outcome.text
    return baselines


def test_a_busy_core_and_more_threads_change_no_verdict_but_speeds(gate: Gate, timed: Path) -> None:
    with busy_core():
        outcome = gate(*cases(BF16, NVFP4), *gates(*STEADY, "speed"), "--threads", "2", baselines=timed)
    said = {(record.case, record.gate): record.verdict for record in outcome.records}
    speed = said.pop((NVFP4, "speed"))
    assert set(said.values()) == {"pass"}, outcome.text
    assert {gate for _, gate in said} == set(STEADY)
    assert outcome.record("digest", NVFP4).message == "moved 0 (numerics did not move)"
    assert speed in {"pass", "unsure", "error"}, outcome.record("speed").message
