"""A month of nights of the b200 lane on a simulated B200: few steps of one model."""

from __future__ import annotations

import pytest

from tests.suite.b200.host import Host


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host with one B200 and the published repositories in its cache."""
    made = Host(folder=tmp_path_factory.mktemp("host"))
    made.fill_cache()
    return made
