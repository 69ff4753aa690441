"""A pytest plugin that kills its process where the variable DIES_EARLY says: at the first test of that case. With
DIES_EARLY_WITH only in processes whose command line has this option."""

from __future__ import annotations

import os
import signal
import sys

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """As a driver that hangs, or a machine that takes the process away, would."""
    meant = os.environ.get("DIES_EARLY_WITH") in (None, *sys.argv)
    if meant and os.environ["DIES_EARLY"] in item.nodeid:
        os.kill(os.getpid(), signal.SIGKILL)
