"""A month of nights of the b200 lane on a B200 in software: few steps of one model. The drill adds what takes long: the
other models, and a bisect."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.suite.b200.host import Host

DRILL = ("test_blame.py", "test_other_models.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known where this folder is what runs."""
    parser.addoption("--drill", action="store_true", help="what takes long, too")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what only the drill runs."""
    return True if collection_path.name in DRILL and not config.getoption("--drill", default=False) else None


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host with one B200 and the published repositories in its cache."""
    made = Host(folder=tmp_path_factory.mktemp("host"))
    made.fill_cache()
    return made
