"""Histories with a hidden truth; the probe answers from it, with gaps, undecided answers and lies mixed in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fixtures.bisect.finding import Doubt, Finding
from fixtures.bisect.history import Meaning, Point, Purpose

GOOD, BAD, GAP, UNSURE = Meaning.GOOD, Meaning.BAD, Meaning.GAP, Meaning.UNSURE


@dataclass(kw_only=True)
class World:
    """A truth, and what stands between it and the one who asks."""

    truth: Callable[[Point], bool]
    gaps: frozenset[Point] = frozenset()
    lies: Counter[Point] = field(default_factory=Counter)
    """How often a point answers the opposite before it tells the truth."""
    unsure: Counter[Point] = field(default_factory=Counter)
    asked: list[Point] = field(default_factory=list)

    def __call__(self, point: Point, purpose: Purpose) -> Meaning:
        self.asked.append(point)
        if point in self.gaps:
            return GAP
        if self.unsure[point]:
            self.unsure[point] -= 1
            return UNSURE
        bad = self.truth(point)
        if self.lies[point]:
            self.lies[point] -= 1
            bad = not bad
        return BAD if bad else GOOD


class Noisy(World):
    """Draws each point's troubles when it is first asked. The ends are never gaps."""

    def __init__(
        self,
        truth: Callable[[Point], bool],
        dice: random.Random,
        gaps: float,
        lies: float,
        unsure: float,
        ends: set[Point],
    ) -> None:
        super().__init__(truth=truth)
        self.dice, self.shares, self.ends = dice, (gaps, lies, unsure), ends
        self.told_lies = False

    def __call__(self, point: Point, purpose: Purpose) -> Meaning:
        if point not in self.asked:
            gap, lie, unsure = (self.dice.random() < share for share in self.shares)
            if gap and point not in self.ends:
                self.gaps |= {point}
            self.lies[point] = int(lie)
            self.told_lies |= lie
            self.unsure[point] = self.dice.randint(1, 4) if unsure and point not in self.ends else 0
        return super().__call__(point, purpose)

    def unsettled(self, point: Point) -> bool:
        return point in self.asked


def doubts(finding: Finding) -> set[Doubt]:
    return {warning.doubt for warning in finding.warnings}
