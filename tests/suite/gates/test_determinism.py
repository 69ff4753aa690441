"""The same picture three times is green, another one is red, a missing one is never green."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalog.limits import Limits
from fixtures.gates.base import conclude
from fixtures.gates.determinism import GATE, DeterminismResult
from fixtures.gates.verdict import Judgement, Verdict, settle
from tests.suite.contexts import UNRECORDED, context, tiny, tiny_observations

digests = st.sampled_from(["a" * 64, "b" * 64, "c" * 64])
maybe = st.none() | digests


def judged(first: str, again: str | None, new_process: str | None) -> Judgement:
    now = DeterminismResult(first=first, again=again, new_process=new_process)
    return settle(GATE.judge(now, Limits(), UNRECORDED))


@given(first=digests, again=maybe, elsewhere=maybe)
def test_only_three_equal_digests_pass(first: str, again: str | None, elsewhere: str | None) -> None:
    differs = {again, elsewhere} - {None, first}
    missing = None in {again, elsewhere}
    expected = Verdict.FAIL if differs else Verdict.ERROR if missing else Verdict.PASS
    assert judged(first, again, elsewhere).verdict is expected


def test_a_difference_shows_both_digests() -> None:
    message = judged("a" * 64, "b" * 64, "a" * 64).message
    assert "second picture of this process" in message
    assert "digest aaaaaaaaaaaa became bbbbbbbbbbbb" in message


def test_a_tiny_pipeline_draws_again_and_asks_a_new_process() -> None:
    case = tiny("bf16")
    first = tiny_observations().first_digest(case)
    assert conclude(GATE, context(case, new_process=lambda _: first)).judgement.verdict is Verdict.PASS
    replayed = conclude(GATE, context(case, replaying=True))  # the new process itself only reports
    assert (replayed.result.first, replayed.judgement.verdict) == (first, Verdict.PASS)
