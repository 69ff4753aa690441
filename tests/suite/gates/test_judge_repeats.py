"""Properties of the gates that do a thing twice: equal is green, different is red, missing is never green."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.gates.repeats import judge_digest, judge_repeats, judge_round_trip
from fixtures.gates.verdict import Verdict, settle

digests = st.sampled_from(["a" * 64, "b" * 64, "c" * 64])
maybe = st.none() | digests


@given(first=digests, again=maybe, elsewhere=maybe)
def test_only_three_equal_digests_pass(first: str, again: str | None, elsewhere: str | None) -> None:
    verdict = settle(judge_repeats(first=first, again=again, elsewhere=elsewhere)).verdict
    differs = {again, elsewhere} - {None, first}
    missing = None in {again, elsewhere}
    assert verdict is (Verdict.FAIL if differs else Verdict.ERROR if missing else Verdict.PASS)


def test_a_difference_shows_both_digests() -> None:
    judgement = settle(judge_repeats(first="a" * 64, again="b" * 64, elsewhere="a" * 64))
    assert "second picture of this process" in judgement.message
    assert "digest aaaaaaaaaaaa became bbbbbbbbbbbb" in judgement.message


def test_the_new_process_only_reports() -> None:
    (check,) = judge_repeats(first="a" * 64, again=None, elsewhere=None, replaying=True)
    assert check.verdict is Verdict.PASS


@given(digest=digests, stored=digests)
def test_a_digest_that_moved_is_told_and_never_red(digest: str, stored: str) -> None:
    check = judge_digest(digest=digest, stored=stored)
    assert check.verdict is Verdict.PASS
    assert check.value == float(digest != stored)
    assert ("moved:" in check.note) == (digest != stored)


HEALTHY = {
    "expected": 39,
    "found": 39,
    "common": 39,
    "equal_weights": 39,
    "reloaded": 39,
    "outputs_equal": 2,
    "steps": 2,
}


def round_trip(**changes: Any) -> Verdict:
    """The verdict about a round trip that is healthy but for `changes`."""
    return settle(judge_round_trip(**{**HEALTHY, **changes})).verdict


def test_a_healthy_round_trip_passes() -> None:
    assert round_trip() is Verdict.PASS


@given(name=st.sampled_from(sorted(HEALTHY)), value=st.integers(0, 60))
def test_any_count_that_is_off_fails(name: str, value: int) -> None:
    assert (round_trip(**{name: value}) is Verdict.PASS) == (value == HEALTHY[name])


@pytest.mark.parametrize(
    "nothing",
    [
        dict.fromkeys(HEALTHY, 0),
        {"steps": 0, "outputs_equal": 0},
        {"common": 0, "equal_weights": 0},
        {"expected": 0, "found": 0, "reloaded": 0, "common": 0, "equal_weights": 0},
    ],
)
def test_nothing_compared_never_passes(nothing: dict[str, int]) -> None:
    assert round_trip(**nothing) is Verdict.FAIL
