"""Histories with a hidden truth; the probe answers from it, with gaps, undecided answers and lies mixed in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fixtures.bisect.search import Doubt, SearchResult
from fixtures.bisect.trials import Classification, Combination, Purpose

GOOD, BAD, GAP, UNSURE = Classification.GOOD, Classification.BAD, Classification.GAP, Classification.UNSURE


@dataclass(kw_only=True)
class World:
    """A truth, and what stands between it and the one who asks."""

    truth: Callable[[Combination], bool]
    gaps: frozenset[Combination] = frozenset()
    lies: Counter[Combination] = field(default_factory=Counter)
    """How often a point answers the opposite before it tells the truth."""
    unsure: Counter[Combination] = field(default_factory=Counter)
    asked: list[Combination] = field(default_factory=list)

    def __call__(self, point: Combination, purpose: Purpose) -> Classification:
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
        truth: Callable[[Combination], bool],
        dice: random.Random,
        gaps: float,
        lies: float,
        unsure: float,
        ends: set[Combination],
    ) -> None:
        super().__init__(truth=truth)
        self.dice, self.shares, self.ends = dice, (gaps, lies, unsure), ends
        self.told_lies = False

    def __call__(self, point: Combination, purpose: Purpose) -> Classification:
        if point not in self.asked:
            gap, lie, unsure = (self.dice.random() < share for share in self.shares)
            if gap and point not in self.ends:
                self.gaps |= {point}
            self.lies[point] = int(lie)
            self.told_lies |= lie
            self.unsure[point] = self.dice.randint(1, 4) if unsure and point not in self.ends else 0
        return super().__call__(point, purpose)

    def unsettled(self, point: Combination) -> bool:
        return point in self.asked


def doubts(finding: SearchResult) -> set[Doubt]:
    return {warning.doubt for warning in finding.warnings}
