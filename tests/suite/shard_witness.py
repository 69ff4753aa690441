"""A pytest plugin that writes down which worker ran which gate and what it could see; and kills it when it is asked to:
in a gate, or when all is done but for the last message to the process that leads."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

TORCH_FIRST = "torch was imported before the GPU was chosen"


def pytest_configure(config: pytest.Config) -> None:
    """This plugin is configured before the suite's own."""
    os.environ["WITNESS_TORCH"] = TORCH_FIRST if "torch" in sys.modules else ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """One line a gate."""
    line = {
        "item": item.nodeid,
        "worker": os.environ.get("PYTEST_XDIST_WORKER", ""),
        "device": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "torch": os.environ["WITNESS_TORCH"],
        "pid": os.getpid(),
    }
    with Path(os.environ["WITNESS"]).open("a") as file:
        file.write(json.dumps(line) + "\n")
    if os.environ.get("WITNESS_KILLS") and os.environ["WITNESS_KILLS"] in item.nodeid:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish() -> Generator[None, object, object]:
    """Inside of the hook with which pytest-xdist says goodbye."""
    done = yield
    if os.environ.get("PYTEST_XDIST_WORKER") and os.environ.get("WITNESS_KILLS") == "the last message":
        os.kill(os.getpid(), signal.SIGKILL)
    return done
