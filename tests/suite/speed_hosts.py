"""Simulated hosts and whole nights of the speed gate on them. Seeds are fixed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fixtures.catalog.schema import Limit
from fixtures.gates.speed.intervals import LOOK_CONFIDENCE, rounds_needed
from fixtures.gates.speed.judge import REFERENCE_SECONDS, SLOW_CALLS, SPEEDUP_CHANGE, decisive_floors, judge_speed
from fixtures.gates.speed.result import Pairs, SpeedResult
from fixtures.gates.verdict import Check, Verdict, settle

Floats = NDArray[np.float64]
Draw = Callable[[int], tuple[Floats, Floats]]


def shared_host(random: np.random.Generator, slowdown: float = 1.0) -> Draw:
    """One process on a shared GPU host: every call waits for the host, how long on average is the process's luck.

    Milliseconds. Fitted to FLUX.1-dev at full size, fp8 against bf16: fp8 10 %, median, 90 % = 105, 109 to 116, 126 to
    143 in three processes; bf16 10 %, median = 133, 135; maxima 166 to 189.
    """
    wait = 10.5 * math.exp(random.normal(0, 0.35))
    reference_wait = 3.6 * math.exp(random.normal(0, 0.2))

    def draw(rounds: int) -> tuple[Floats, Floats]:
        def side(base: float, mean: float) -> Floats:
            stall = random.exponential(25, rounds) * (random.random(rounds) < 0.04)
            return base * random.normal(1, 0.006, rounds) + random.exponential(mean, rounds) + stall

        return side(132.3, reference_wait), side(104.3 * slowdown, wait)

    return draw


def quiet_host(random: np.random.Generator, slowdown: float = 1.0) -> Draw:
    """A machine of one's own: a coefficient of variation of about 1.5 %, rare stalls."""

    def draw(rounds: int) -> tuple[Floats, Floats]:
        def side(base: float) -> Floats:
            stall = random.exponential(25, rounds) * (random.random(rounds) < 0.02)
            return base * random.normal(1, 0.006, rounds) + random.exponential(1.5, rounds) + stall

        return side(132.3), side(104.3 * slowdown)

    return draw


def throttling_host(random: np.random.Generator, slowdown: float = 1.0) -> Draw:
    """A laptop that gets hot: both sides slow down together, by up to 40 % from first round to last."""

    def draw(rounds: int) -> tuple[Floats, Floats]:
        heat = np.linspace(1, random.uniform(1, 1.4), rounds)

        def side(base: float) -> Floats:
            stall = random.exponential(base / 10, rounds) * (random.random(rounds) < 0.15)
            return heat * base * random.normal(1, 0.015, rounds) + stall

        return side(50.0), side(110.0 * slowdown)

    return draw


def bursty_host(random: np.random.Generator, slowdown: float = 1.0) -> Draw:
    """A neighbour that comes and goes: 3 to 15 rounds at a time, both sides 10 to 60 % slower, not quite equally."""

    def draw(rounds: int) -> tuple[Floats, Floats]:
        load = np.ones(rounds)
        at = int(random.integers(3, 15))
        while at < rounds:
            length = int(random.integers(3, 15))
            load[at : at + length] = random.uniform(1.1, 1.6)
            at += length + int(random.integers(3, 15))

        reference = 50.0 * load * random.normal(1, 0.02, rounds)
        return reference, 110.0 * slowdown * load ** random.uniform(0.9, 1.1) * random.normal(1, 0.02, rounds)

    return draw


HOSTS = {"shared": shared_host, "quiet": quiet_host, "throttling": throttling_host, "bursty": bursty_host}
STEADY_RATIO = {"throttling": 50 / 110, "bursty": 50 / 110}
"""Hosts whose drift has no long-run quantile: what the interval should cover there is the ratio of the calls."""

LIMITS = (
    Limit(gate="speed", quantity=SPEEDUP_CHANGE, unit="x", source="simulation", floor=0.93),
    Limit(gate="speed", quantity=SLOW_CALLS, unit="x", source="simulation", floor=0.8),
    Limit(gate="speed", quantity=REFERENCE_SECONDS, unit="x", source="simulation", ceiling=1.25),
)
MAXIMUM = 120


def gate_run(
    host: str,
    seed: int,
    *,
    slowdown: float = 1.0,
    reference_slowdown: float = 1.0,
    sporadic: float = 0.0,
) -> tuple[list[Check], int]:
    """One night: a baseline of 60 rounds from another process; tonight's pilot, the rounds it asks for, and the second
    look where the first is undecided. `sporadic` is the share of format calls that take half as long again. Returns
    the checks and the number of rounds."""
    recorded = _night(_pairs(HOSTS[host](np.random.default_rng([30, seed, 0]))(60)))
    random = np.random.default_rng([30, seed, 1])
    draw = HOSTS[host](random, slowdown)

    def tonight(rounds: int) -> Pairs:
        reference, measured = draw(rounds)
        stalled = random.random(rounds) < sporadic
        return _pairs((reference * reference_slowdown, measured * np.where(stalled, 1.5, 1.0)))

    def judged(pairs: Pairs) -> list[Check]:
        return judge_speed(_night(pairs), LIMITS, recorded)

    rounds = rounds_needed(
        tonight(8).ratio(LOOK_CONFIDENCE),
        floors=decisive_floors(LIMITS, recorded),
        half_width=0.02,
        minimum=10,
        maximum=MAXIMUM,
    )
    pairs = tonight(rounds)
    if settle(judged(pairs)).verdict is Verdict.UNSURE and rounds < MAXIMUM:
        pairs = pairs.joined(tonight(MAXIMUM - rounds))
    return judged(pairs), len(pairs.seconds)


def _pairs(milliseconds: tuple[Floats, Floats]) -> Pairs:
    reference, measured = milliseconds
    return Pairs(seconds=(measured / 1e3).tolist(), reference_seconds=(reference / 1e3).tolist())


def _night(pairs: Pairs) -> SpeedResult:
    return SpeedResult(format="fp8", arithmetic="native", wall=pairs)


NIGHTS: tuple[dict[str, float], ...] = (
    {},
    {"slowdown": 1.05},
    {"slowdown": 1.1},
    {"slowdown": 1.2},
    {"sporadic": 0.5},
    {"reference_slowdown": 1.4, "slowdown": 1.4},
)


def shares(host: str, nights: int, **more: float) -> dict[str, float]:
    """How many of so many nights end in each verdict, in per cent, and the mean number of rounds."""
    runs = [gate_run(host, seed, **more) for seed in range(nights)]
    verdicts = [settle(checks).verdict for checks, _ in runs]
    counted = {verdict.value: 100 * verdicts.count(verdict) / nights for verdict in Verdict}
    return {**counted, "rounds": float(np.mean([rounds for _, rounds in runs]))}
