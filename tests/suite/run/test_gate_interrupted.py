"""A run that is killed keeps its finished records and leaves a report that says what is missing."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import Any, NoReturn

import pytest

from fixtures.faults.in_operands import NVFP4_TENSOR
from fixtures.faults.patching import wrapped
from tests.suite.gate_runs import BF16, NVFP4, Gate, cases, gates

INTERRUPTED = 2


def ctrl_c() -> NoReturn:
    """What Ctrl-C raises in the middle of a matmul."""
    raise KeyboardInterrupt


def sigterm() -> None:
    """What a job scheduler sends."""
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def survivor() -> Iterator[None]:
    """A SIGTERM that the gate does not take over fails the test and does not end all others."""

    def not_taken(*_: Any) -> NoReturn:
        raise AssertionError("the gate did not take SIGTERM over")

    before = signal.signal(signal.SIGTERM, not_taken)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("survivor")
@pytest.mark.parametrize("kill", [ctrl_c, sigterm])
def test_a_killed_run_keeps_what_it_had(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, kill: Callable[[], object]
) -> None:
    def dispatch(original: Any, *args: Any, **kwargs: Any) -> Any:
        kill()
        return original(*args, **kwargs)

    monkeypatch.setattr(*wrapped(NVFP4_TENSOR, "_addmm_nvfp4_dispatch", dispatch))
    helper = get_context("spawn").Process(target=time.sleep, args=(600,))  # as those that make the B200's code
    helper.start()
    outcome = gate(*cases(BF16, NVFP4), *gates("manifest", "memory", "calls", "kernels"))
    assert outcome.code == INTERRUPTED
    helper.join(timeout=60)
    assert not helper.is_alive(), "an interrupted run would wait for it"
    assert [(record.case, record.gate) for record in outcome.records] == [
        (BF16, "calls"),
        (NVFP4, "manifest"),
    ]
    summary = json.loads((outcome.folder / "report.json").read_text())
    assert summary["verdict"] == "unfinished"
    assert summary["exit_code"] == INTERRUPTED
    assert summary["planned"] == 5
    assert outcome.says("the run did not come to its end, so nothing is proven")
    assert "did not come to its end" in outcome.page
