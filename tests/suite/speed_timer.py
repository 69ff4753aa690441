"""A timer that stands still but for what calls say that they take: the speed gate times the same on any machine."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from fixtures.gates.speed.rounds import Clock


class FakeTimer:
    """What is used of pytest-benchmark's fixture, with a clock of its own; `log` names the calls in their order."""

    def __init__(self, *, disturbed: str = "", disabled: bool = False, each: tuple[float, ...] = ()) -> None:
        """`each`: seconds that calls of whoever is timed first, second, ... are said to take beside their own."""
        self.time = 0.0
        self.log: list[str] = []
        self.disabled = disabled
        self.extra_info: dict[str, Any] = {}
        self.clock = Clock(now=self.now, around=self._around, disturbed=lambda window: disturbed)
        self._each = iter(each)
        data: list[float] = []
        self.stats: Any = SimpleNamespace(
            options={"timer": self.clock.now}, stats=SimpleNamespace(data=data), update=data.append
        )

    def now(self) -> float:
        """Seconds so far."""
        return self.time

    def _around(self, call: Callable[[], object]) -> Callable[[], object]:
        seconds = next(self._each, 0.0)
        wait = self.taking(seconds, 1.001 * seconds, 1.002 * seconds)

        def run() -> object:
            wait()
            return call()

        return run if seconds else call

    def taking(self, *seconds: float, name: str = "", returning: object = None) -> Callable[[], object]:
        """A call that takes these seconds, one after another and from the first again."""
        calls = 0

        def call() -> object:
            nonlocal calls
            self.time += seconds[calls % len(seconds)]
            self.log.append(name)
            calls += 1
            return returning

        return call

    def pedantic(
        self, target: Any, *, setup: Any, teardown: Any, rounds: int, iterations: int, warmup_rounds: int
    ) -> None:
        """Time `rounds` rounds after those of warming up."""
        for turn in range(warmup_rounds + rounds):
            setup()
            started = self.time
            target()
            if turn >= warmup_rounds:
                self.stats.update(self.time - started)
            teardown()
