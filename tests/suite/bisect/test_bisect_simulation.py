"""Thousands of simulated histories: the search never names a wrong culprit without a warning, and asks little."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from fixtures.bisect.search import Doubt, SearchResult, SearchSettings, SearchStatus, search
from fixtures.bisect.trials import Combination
from tests.suite.bisect_worlds import Noisy, World, doubts


def assert_claims_hold(finding: SearchResult, truth: Callable[[Combination], bool]) -> None:
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
            found = search(sizes=(last,), probe=world, settings=SearchSettings(survey=0))
            change = found.culprits[0].changes[0]
            assert (found.status, change.low, change.high) == (SearchStatus.FOUND, culprit - 1, culprit)
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
        assert len(set(world.asked)) <= 2 + found.bound + 2 + SearchSettings().survey + 4


def with_two_guilty(dice: random.Random) -> Iterator[tuple[tuple[int, ...], dict[int, int]]]:
    """Up to 300 times (the sizes of the axes, the culprit's index on each of two axes)."""
    for _ in range(300):
        sizes = sizes_of(dice, dice.randint(2, 4))
        moving = [i for i, last in enumerate(sizes) if last]
        if len(moving) < 2:
            continue
        one, two = dice.sample(moving, 2)
        at = {one: dice.randint(1, sizes[one]), two: dice.randint(1, sizes[two])}
        yield sizes, at


@pytest.mark.parametrize("seed", range(4))
def test_two_packages_that_are_bad_only_together_are_both_named(seed: int) -> None:
    for sizes, at in with_two_guilty(random.Random(100 + seed)):

        def truth(point: Combination, at: dict[int, int] = at) -> bool:
            return all(point[axis] >= index for axis, index in at.items())

        found = search(sizes=sizes, probe=World(truth=truth))
        assert len(found.culprits) == 1
        assert {change.axis: change.high for change in found.culprits[0].changes} == at
        assert not found.warnings
        assert found.searched <= found.bound


@pytest.mark.parametrize("seed", range(2))
def test_two_packages_that_are_each_guilty_are_both_named(seed: int) -> None:
    for sizes, at in with_two_guilty(random.Random(200 + seed)):

        def truth(point: Combination, at: dict[int, int] = at) -> bool:
            return any(point[axis] >= index for axis, index in at.items())

        found = search(sizes=sizes, probe=World(truth=truth))
        named = {change.axis: change.high for culprit in found.culprits for change in culprit.changes}
        assert named == at
        assert len(found.culprits) == 2


@pytest.mark.parametrize("seed", range(4))
def test_gaps_noise_and_lies_never_name_a_wrong_culprit_without_a_warning(seed: int) -> None:
    """At most one lie a point, which is what one confirmation can undo; gaps and undecided answers in any number."""
    dice = random.Random(300 + seed)
    statuses: Counter[SearchStatus] = Counter()
    for _ in range(500):
        sizes = sizes_of(dice, dice.randint(1, 3))
        moving = [i for i, last in enumerate(sizes) if last]
        guilty = dice.sample(moving, dice.randint(1, min(2, len(moving))))
        at = {axis: dice.randint(1, sizes[axis]) for axis in guilty}
        together = dice.random() < 0.5

        def truth(point: Combination, at: dict[int, int] = at, together: bool = together) -> bool:
            hits = [point[axis] >= index for axis, index in at.items()]
            return all(hits) if together else any(hits)

        share, lying, unsure = dice.choice((0, 0.1, 0.4)), dice.choice((0, 0.1, 0.3)), dice.choice((0, 0.2))
        world = Noisy(truth, dice, share, lying, unsure, ends={tuple(0 for _ in sizes), sizes})
        found = search(sizes=sizes, probe=world)
        statuses[found.status] += 1
        lied = bool(doubts(found) & {Doubt.FLAKY, Doubt.UNCONFIRMED, Doubt.NOT_MONOTONIC})
        if found.status in {SearchStatus.FOUND, SearchStatus.RANGE}:
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
    assert statuses[SearchStatus.FOUND] > 150
