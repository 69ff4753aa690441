"""The search over thousands of simulated histories: it never names a wrong culprit without a warning, and asks little.

Each history has a hidden truth; the probe answers from it, with gaps, undecided answers and lies mixed in.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from fixtures.bisect.finding import Doubt, Finding, Settings, Status
from fixtures.bisect.history import Meaning, Point, Purpose, settle
from fixtures.bisect.search import search, step_back

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


def doubts(finding: Finding) -> set[Doubt]:
    return {warning.doubt for warning in finding.warnings}


def assert_claims_hold(finding: Finding, truth: Callable[[Point], bool]) -> None:
    """What is shown as good is good, and what is shown as bad is bad."""
    for culprit in finding.culprits:
        assert not truth(culprit.good)
        assert truth(culprit.bad)
        for change in culprit.changes:
            assert culprit.bad[change.axis] == change.high


def test_one_axis_is_found_exactly_for_every_size_and_culprit() -> None:
    for last in range(1, 40):
        for culprit in range(1, last + 1):
            world = World(truth=lambda point, at=culprit: point[0] >= at)  # type: ignore[misc]
            found = search(sizes=(last,), probe=world, settings=Settings(survey=0))
            change = found.culprits[0].changes[0]
            assert (found.status, change.low, change.high) == (Status.FOUND, culprit - 1, culprit)
            assert not found.warnings
            assert found.searched <= found.bound
            assert len(world.asked) <= 2 + found.bound + 2


def sizes_of(dice: random.Random, axes: int) -> tuple[int, ...]:
    sizes = tuple(dice.choice((0, 1, 2, 3, 7, 20, 60)) for _ in range(axes))
    return sizes if any(sizes) else sizes_of(dice, axes)


@pytest.mark.parametrize("seed", range(4))
def test_one_guilty_package_among_several_is_named_with_its_version(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(300):
        sizes = sizes_of(dice, dice.randint(1, 4))
        axis = dice.choice([i for i, last in enumerate(sizes) if last])
        at = dice.randint(1, sizes[axis])
        world = World(truth=lambda point, axis=axis, at=at: point[axis] >= at)  # type: ignore[misc]
        found = search(sizes=sizes, probe=world)
        assert [
            [(change.axis, change.low, change.high) for change in culprit.changes] for culprit in found.culprits
        ] == [[(axis, at - 1, at)]]
        assert not found.warnings
        assert found.searched <= found.bound
        assert len(set(world.asked)) <= 2 + found.bound + 2 + Settings().survey + 4


@pytest.mark.parametrize("seed", range(4))
def test_two_packages_that_are_bad_only_together_are_both_named(seed: int) -> None:
    dice = random.Random(100 + seed)
    for _ in range(300):
        sizes = sizes_of(dice, dice.randint(2, 4))
        moving = [i for i, last in enumerate(sizes) if last]
        if len(moving) < 2:
            continue
        one, two = dice.sample(moving, 2)
        at = {one: dice.randint(1, sizes[one]), two: dice.randint(1, sizes[two])}

        def truth(point: Point, at: dict[int, int] = at) -> bool:
            return all(point[axis] >= index for axis, index in at.items())

        found = search(sizes=sizes, probe=World(truth=truth))
        assert len(found.culprits) == 1
        assert {change.axis: change.high for change in found.culprits[0].changes} == at
        assert not found.warnings
        assert found.searched <= found.bound


@pytest.mark.parametrize("seed", range(2))
def test_two_packages_that_are_each_guilty_are_both_named(seed: int) -> None:
    dice = random.Random(200 + seed)
    for _ in range(300):
        sizes = sizes_of(dice, dice.randint(2, 4))
        moving = [i for i, last in enumerate(sizes) if last]
        if len(moving) < 2:
            continue
        one, two = dice.sample(moving, 2)
        at = {one: dice.randint(1, sizes[one]), two: dice.randint(1, sizes[two])}

        def truth(point: Point, at: dict[int, int] = at) -> bool:
            return any(point[axis] >= index for axis, index in at.items())

        found = search(sizes=sizes, probe=World(truth=truth))
        named = {change.axis: change.high for culprit in found.culprits for change in culprit.changes}
        assert named == at
        assert len(found.culprits) == 2


@pytest.mark.parametrize("seed", range(4))
def test_gaps_noise_and_lies_never_name_a_wrong_culprit_without_a_warning(seed: int) -> None:
    """At most one lie a point, which is what one confirmation can undo; gaps and undecided answers in any number."""
    dice = random.Random(300 + seed)
    statuses: Counter[Status] = Counter()
    for _ in range(500):
        sizes = sizes_of(dice, dice.randint(1, 3))
        moving = [i for i, last in enumerate(sizes) if last]
        guilty = dice.sample(moving, dice.randint(1, min(2, len(moving))))
        at = {axis: dice.randint(1, sizes[axis]) for axis in guilty}
        together = dice.random() < 0.5

        def truth(point: Point, at: dict[int, int] = at, together: bool = together) -> bool:
            hits = [point[axis] >= index for axis, index in at.items()]
            return all(hits) if together else any(hits)

        share, lying, unsure = dice.choice((0, 0.1, 0.4)), dice.choice((0, 0.1, 0.3)), dice.choice((0, 0.2))
        world = Noisy(truth, dice, share, lying, unsure, ends={tuple(0 for _ in sizes), sizes})
        found = search(sizes=sizes, probe=world)
        statuses[found.status] += 1
        lied = bool(doubts(found) & {Doubt.FLAKY, Doubt.UNCONFIRMED, Doubt.NOT_MONOTONIC})
        if found.status in {Status.FOUND, Status.RANGE}:
            assert_claims_hold(found, truth)
            for culprit in found.culprits:
                for change in culprit.changes:
                    explained = doubts(found) & {Doubt.NOT_ALONE, Doubt.NOT_SEPARABLE} or lied
                    assert explained or (change.axis in at and change.low < at[change.axis] <= change.high)
                    # Between the two sides there is nothing that could have been judged.
                    if not explained and len(at) == 1:
                        for index in range(change.low + 1, change.high):
                            inner = (*culprit.bad[: change.axis], index, *culprit.bad[change.axis + 1 :])
                            assert inner in world.gaps or world.unsettled(inner)
        else:
            assert world.told_lies
    assert statuses[Status.FOUND] > 150


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


def test_broken_in_one_release_and_fixed_in_the_next_is_noticed() -> None:
    bad = {2, 5, 6}
    found = search(sizes=(6,), probe=World(truth=lambda point: point[0] in bad))
    assert [change.high for change in found.culprits[0].changes] == [5]
    assert Doubt.NOT_MONOTONIC in doubts(found)
    assert [(turn.before[0], turn.after[0], turn.became) for turn in found.transitions] == [
        (1, 2, BAD),
        (2, 3, GOOD),
        (4, 5, BAD),
    ]


def test_every_single_fixed_release_is_noticed_where_the_survey_covers_the_range() -> None:
    for last in range(3, 7):
        for broken in range(1, last - 1):
            world = World(truth=lambda point, end=last, at=broken: point[0] in (at, end))  # type: ignore[misc]
            found = search(sizes=(last,), probe=world)
            assert found.culprits[0].changes[0].high == last
            assert Doubt.NOT_MONOTONIC in doubts(found)


def test_all_versions_between_that_cannot_be_judged_make_a_range() -> None:
    world = World(truth=lambda point: point[0] >= 4, gaps=frozenset((i,) for i in (2, 3, 4, 5)))
    found = search(sizes=(9,), probe=world)
    assert found.status is Status.RANGE
    assert [(change.low, change.high) for change in found.culprits[0].changes] == [(1, 6)]


def test_a_row_of_broken_nightlies_is_jumped() -> None:
    """30 of 60 nightlies broken, the culprit beyond them: halving goes around them."""
    world = World(truth=lambda point: point[0] >= 55, gaps=frozenset((i,) for i in range(15, 46)))
    found = search(sizes=(60,), probe=world, settings=Settings(survey=0))
    assert found.culprits[0].changes[0].high == 55
    assert found.history.gaps() <= 5
    assert found.searched <= found.bound + found.history.gaps()


@pytest.mark.parametrize(
    ("truth", "status"),
    [(lambda _: True, Status.GOOD_NOT_REPRODUCED), (lambda _: False, Status.BAD_NOT_REPRODUCED)],
)
def test_ends_that_are_not_reproduced_stop_the_search(truth: Callable[[Point], bool], status: Status) -> None:
    world = World(truth=truth)
    found = search(sizes=(8, 3), probe=world)
    assert found.status is status
    assert not found.culprits
    assert len(world.asked) <= 3


def test_an_end_that_is_a_gap_stops_the_search_after_one_look() -> None:
    world = World(truth=lambda point: point[0] >= 2, gaps=frozenset({(4,)}))
    assert search(sizes=(4,), probe=world).status is Status.BAD_NOT_REPRODUCED
    assert world.asked == [(0,), (4,)]


def test_packages_that_only_go_together_are_moved_together_and_said_so() -> None:
    """torch and torchao come in pairs: any other combination does not install."""
    pairs = frozenset((i, j) for i in range(5) for j in range(5) if i != j)
    found = search(sizes=(4, 4), probe=World(truth=lambda point: point[0] >= 3, gaps=pairs))
    assert {(change.axis, change.low, change.high) for change in found.culprits[0].changes} == {(0, 2, 3), (1, 2, 3)}
    assert Doubt.NOT_SEPARABLE in doubts(found)


def test_a_flaky_point_is_asked_until_one_side_leads_and_is_reported() -> None:
    world = World(truth=lambda point: point[0] >= 3, lies=Counter({(4,): 1}))
    found = search(sizes=(8,), probe=world)
    assert found.culprits[0].changes[0].high == 3
    assert Doubt.FLAKY in doubts(found)


def test_a_point_that_stays_undecided_is_repeated_and_then_skipped() -> None:
    world = World(truth=lambda point: point[0] >= 3, unsure=Counter({(3,): 99}))
    found = search(sizes=(6,), probe=world)
    assert found.status is Status.RANGE
    assert [(change.low, change.high) for change in found.culprits[0].changes] == [(2, 4)]
    assert world.asked.count((3,)) == 3


def test_votes_settle_by_a_lead_of_two() -> None:
    assert settle([]) is None
    assert settle([GAP, GOOD]) is GOOD
    assert settle([UNSURE, GAP]) is UNSURE
    assert settle([GOOD, BAD]) is UNSURE
    assert settle([BAD, GOOD, GOOD]) is UNSURE
    assert settle([BAD, GOOD, GOOD, GOOD]) is GOOD


def test_stepping_back_finds_a_good_version_in_doubling_steps() -> None:
    world = World(truth=lambda point: point[0] >= 40)
    index, history = step_back(last=60, probe=world)
    assert index == 28
    assert [vote.point[0] for vote in history.votes] == [59, 58, 56, 52, 44, 28]
    assert step_back(last=3, probe=World(truth=lambda _: True))[0] is None
    assert step_back(last=0, probe=world)[0] is None


def test_stepping_back_finds_what_is_good_between_the_bad_and_what_is_too_old_to_judge() -> None:
    """All of torchao before 0.15.0 lacks a config that the suite needs, and 0.16.0 is bad already."""
    for last in range(2, 70):
        for first_bad in range(1, last + 1):
            for oldest in {0, first_bad // 2, max(0, first_bad - 3), first_bad - 1}:
                gaps = frozenset((index,) for index in range(oldest))
                world = World(truth=lambda point, at=first_bad: point[0] >= at, gaps=gaps)  # type: ignore[misc]
                index, _ = step_back(last=last, probe=world)
                assert index is not None, (last, first_bad, oldest)
                assert oldest <= index < first_bad
                assert len(world.asked) <= 3 * last.bit_length() + 3


def test_equal_ends_are_refused() -> None:
    with pytest.raises(ValueError, match="the same versions"):
        search(sizes=(0, 0), probe=World(truth=lambda _: True))
