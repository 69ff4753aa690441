"""The time of a simulated B200: what its work is said to take, and not what this machine takes for it."""

from __future__ import annotations

import math
import time

READING_S = 1e-7
JITTER = 0.0005
"""Amplitude of a spread that is the same in every run: seconds without any would be no measurement."""


class Clock:
    """Seconds so far, and who counts them."""

    def __init__(self) -> None:
        self.now = 0.0
        self._turn = 0

    @property
    def worked(self) -> bool:
        """Whether this process ever used the GPU."""
        return self._turn > 0

    def work(self, seconds: float) -> tuple[float, float]:
        """Work for so long; returns (start, seconds)."""
        self._turn += 1
        started, took = self.now, seconds * (1 + JITTER * math.sin(self._turn))
        self.now += took
        return started, took


CLOCK = Clock()


def read() -> float:
    """time.perf_counter of a process on the simulated host; by name, because pytest-benchmark imports its timer so."""
    CLOCK.now += READING_S
    return CLOCK.now


def install() -> None:
    """From here on this process reads the simulated time. Whoever sleeps lets it pass."""
    time.perf_counter = read

    def sleep(seconds: float, really: object = time.sleep) -> None:
        CLOCK.now += seconds
        really(min(seconds, 0.01))  # type: ignore[operator]

    time.sleep = sleep  # type: ignore[assignment]
