"""The search in histories written by hand: gaps, flaky points, mended releases, ends that disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from fixtures.bisect.search import Doubt, SearchSettings, SearchStatus, search, step_back
from fixtures.bisect.trials import Combination, majority
from tests.suite.bisect_worlds import BAD, GAP, GOOD, UNSURE, World, doubts


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
    assert found.status is SearchStatus.RANGE
    assert [(change.low, change.high) for change in found.culprits[0].changes] == [(1, 6)]


def test_a_row_of_broken_nightlies_is_jumped() -> None:
    """30 of 60 nightlies broken, the culprit beyond them: halving goes around them."""
    world = World(truth=lambda point: point[0] >= 55, gaps=frozenset((i,) for i in range(15, 46)))
    found = search(sizes=(60,), probe=world, settings=SearchSettings(survey=0))
    assert found.culprits[0].changes[0].high == 55
    assert found.trials.gaps() <= 5
    assert found.searched <= found.bound + found.trials.gaps()


@pytest.mark.parametrize(
    ("truth", "status"),
    [(lambda _: True, SearchStatus.GOOD_NOT_REPRODUCED), (lambda _: False, SearchStatus.BAD_NOT_REPRODUCED)],
)
def test_ends_that_are_not_reproduced_stop_the_search(
    truth: Callable[[Combination], bool], status: SearchStatus
) -> None:
    world = World(truth=truth)
    found = search(sizes=(8, 3), probe=world)
    assert found.status is status
    assert not found.culprits
    assert len(world.asked) <= 3


def test_an_end_that_is_a_gap_stops_the_search_after_one_look() -> None:
    world = World(truth=lambda point: point[0] >= 2, gaps=frozenset({(4,)}))
    assert search(sizes=(4,), probe=world).status is SearchStatus.BAD_NOT_REPRODUCED
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
    assert found.status is SearchStatus.RANGE
    assert [(change.low, change.high) for change in found.culprits[0].changes] == [(2, 4)]
    assert world.asked.count((3,)) == 3


def test_votes_settle_by_a_lead_of_two() -> None:
    assert majority([]) is None
    assert majority([GAP, GOOD]) is GOOD
    assert majority([UNSURE, GAP]) is UNSURE
    assert majority([GOOD, BAD]) is UNSURE
    assert majority([BAD, GOOD, GOOD]) is UNSURE
    assert majority([BAD, GOOD, GOOD, GOOD]) is GOOD


def test_stepping_back_finds_a_good_version_in_doubling_steps() -> None:
    world = World(truth=lambda point: point[0] >= 40)
    index, trials = step_back(last=60, probe=world)
    assert index == 28
    assert [trial.at[0] for trial in trials.all] == [59, 58, 56, 52, 44, 28]
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
