"""A month of nights of the b200 lane on a B200 in software: few steps of one model. The drill adds what takes long: the
other models, and a bisect."""

from __future__ import annotations

import pytest

from tests.suite.b200.host import Host


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known where this folder is what runs."""
    parser.addoption("--drill", action="store_true", help="what takes long, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the drill runs."""
    if not config.getoption("--drill", default=False):
        drill = [item for item in items if item.get_closest_marker("drill")]
        config.hook.pytest_deselected(items=drill)
        items[:] = [item for item in items if item not in drill]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host with one B200 and the published repositories in its cache."""
    made = Host(folder=tmp_path_factory.mktemp("host"))
    made.fill_cache()
    return made
