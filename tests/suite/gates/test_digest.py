"""Numerics that moved are told and never red."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalog.limits import Limits
from fixtures.gates.base import conclude
from fixtures.gates.digest import GATE, HASHED, DigestKept, DigestResult
from fixtures.gates.verdict import Verdict
from tests.suite.contexts import Stored, context, tiny

digests = st.sampled_from(["a" * 64, "b" * 64, "c" * 64])


@given(digest=digests, stored=digests)
def test_a_digest_that_moved_is_told_and_never_red(digest: str, stored: str) -> None:
    (check,) = GATE.judge(DigestResult(digest=digest), Limits(), DigestKept(sha256={HASHED: stored}))
    assert check.verdict is Verdict.PASS
    assert check.value == float(digest != stored)
    assert ("moved:" in check.note) == (digest != stored)


def test_a_tiny_pipeline_is_compared_with_its_own_digest() -> None:
    kept = conclude(GATE, context(tiny("bf16"), recording=True)).kept
    assert kept is not None
    again = conclude(GATE, context(tiny("bf16"), baselines=Stored(sections={"digest": kept})))
    assert again.judgement.message == "moved 0 (numerics did not move)"
    assert conclude(GATE, context(tiny("bf16"))).judgement.verdict is Verdict.FAIL
