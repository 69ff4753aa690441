"""A run that is silent says what it is doing."""

from __future__ import annotations

import queue
import re

import pytest

from fixtures.run import heartbeat
from fixtures.run.heartbeat import Heartbeat

PATIENCE_S = 60.0


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> queue.Queue[str]:
    """What is written; silence is broken at once."""
    for name in ("FIRST_S", "LATER_S"):
        monkeypatch.setattr(heartbeat, name, 0.0)
    return queue.Queue()


def test_a_log_is_told_what_is_being_done_until_the_end(lines: queue.Queue[str]) -> None:
    heart = Heartbeat()
    heart.start(lines.put, terminal=False)
    heart.doing("importing torch")
    assert re.fullmatch(r" +\d+ s  importing torch", lines.get(timeout=PATIENCE_S))
    heart.spoke()
    heart.doing("loading the weights")
    while "loading the weights" not in lines.get(timeout=PATIENCE_S):
        pass
    heart.stop()
    heart.stop()


def test_nothing_is_said_before_there_is_anything_to_say(lines: queue.Queue[str]) -> None:
    heart = Heartbeat()
    heart.start(lines.put, terminal=False)
    with pytest.raises(queue.Empty):
        lines.get(timeout=2.5)
    heart.stop()


def test_a_pipe_that_nobody_reads_ends_nothing(lines: queue.Queue[str]) -> None:
    def broken(line: str) -> None:
        lines.put(line)
        raise BrokenPipeError

    heart = Heartbeat()
    heart.start(broken, terminal=False)
    heart.doing("importing torch")
    assert lines.get(timeout=PATIENCE_S)
    assert lines.get(timeout=PATIENCE_S), "it goes on"
    heart.stop()
