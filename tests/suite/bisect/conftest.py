"""What whole bisects and comparisons need: an environment to copy, and a stand-in for the suite."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.suite.bisect_stand_in import stand_in_for_the_suite


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but pip: making it takes a second."""
    folder = tmp_path_factory.mktemp("base") / "environment"
    subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", str(folder)], check=True)
    return folder


@pytest.fixture
def stand_in(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The suite's stand-in, run as `python -m pytest` because the working folder has a pytest.py."""
    return stand_in_for_the_suite(tmp_path / "suite", base, monkeypatch.setattr)
