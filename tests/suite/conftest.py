"""What several tests of the suite share: the gate in one process, and baselines that it recorded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fixtures.bisect.probe import ProbeTools
from fixtures.faults.patching import Patch
from fixtures.machine.cpu import compute_on_cpu
from tests.suite.bisect_stand_in import stand_in_for_the_suite
from tests.suite.gate_runs import BF16, FP8, MXFP8, NVFP4, NVFP4_BS2, Gate, Outcome, cases, gates


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """pytest-benchmark disables itself in xdist's workers, and by this variable in every run inside one; no test here
    asserts a time of a real clock."""
    if os.environ.pop("PYTEST_XDIST_WORKER", None):
        vars(config)["_benchmarksession"].disabled = False


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As the CPU lane itself: the workers share the cores, and more threads than cores wait for one another in a busy
    loop."""
    compute_on_cpu(1)


RECORDED = ("manifest", "memory", "reference", "velocity", "quality", "digest")
"""Gates that keep a baseline; speed is recorded apart, on a clock of its own."""


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> tuple[Gate, Outcome]:
    """The gate, and the rebaseline that recorded its baselines: once a session."""
    scratch = tmp_path_factory.mktemp("gate")
    gate = Gate(
        scratch=scratch, baselines=scratch / "baselines", checkpoints=pytestconfig.getoption("--checkpoint-folder")
    )
    selection = [*cases(BF16, FP8, MXFP8, NVFP4, NVFP4_BS2), *gates(*RECORDED)]
    outcome = gate(*selection, "--rebaseline", "--reason", "what the tests compare with")
    assert outcome.code == 0, outcome.text
    return gate, outcome


@pytest.fixture
def gate(recording: tuple[Gate, Outcome], monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Runs the gate against the recorded baselines, which no test may change."""
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.delenv("GATE_OVERRIDES", raising=False)
    return recording[0]


@pytest.fixture
def patch() -> Iterator[Patch]:
    """Breaks other libraries for one test: `fixtures.faults.in_matmul.bias_is_dropped(patch)`."""
    with ExitStack() as stack:
        yield Patch(stack)


@pytest.fixture
def own_baselines(gate: Gate, tmp_path: Path) -> Path:
    """A copy of the recorded baselines, to be damaged."""
    return Path(shutil.copytree(gate.baselines, tmp_path / "baselines"))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but pip: making it takes a second."""
    folder = tmp_path_factory.mktemp("base") / "environment"
    subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", str(folder)], check=True)
    return folder


@pytest.fixture
def stand_in(tmp_path: Path, base: Path) -> ProbeTools:
    """The suite's stand-in, run as `python -m pytest` because the working folder has a pytest.py."""
    return stand_in_for_the_suite(tmp_path / "suite", base)
