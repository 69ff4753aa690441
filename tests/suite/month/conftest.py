"""A month of nights of the b200 lane on a simulated B200: in the tests few steps of one model, in `nox -s drill` the
tiny checkpoints of all three as they were trained."""

from __future__ import annotations

import pytest

from tests.suite.b200.host import Host


def pytest_addoption(parser: pytest.Parser) -> None:
    """What the drill adds."""
    parser.addoption("--drill", action="store_true", help="nights of the tiny checkpoints as they were trained")


@pytest.fixture(scope="session")
def drilling(pytestconfig: pytest.Config) -> bool:
    """Whether nights are whole ones."""
    return bool(pytestconfig.getoption("--drill", default=False))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, drilling: bool) -> Host:
    """A host with one B200 and the published repositories in its cache."""
    made = Host(folder=tmp_path_factory.mktemp("host"), toy=not drilling)
    made.fill_cache()
    return made
