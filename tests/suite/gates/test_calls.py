"""Every pipeline call makes the declared denoiser calls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalog.limits import Limits
from fixtures.gates.base import conclude
from fixtures.gates.calls import GATE, CallsResult
from fixtures.gates.verdict import Verdict, settle
from tests.suite.contexts import UNRECORDED, context, tiny


@given(declared=st.integers(1, 100), calls=st.lists(st.integers(0, 100), max_size=6))
def test_every_pipeline_call_must_make_the_declared_calls(declared: int, calls: list[int]) -> None:
    found = settle(GATE.judge(CallsResult(calls=calls, declared=declared), Limits(), UNRECORDED)).verdict
    assert found is (Verdict.PASS if calls and set(calls) == {declared} else Verdict.FAIL if calls else Verdict.ERROR)


def test_a_tiny_pipeline_is_counted() -> None:
    found = conclude(GATE, context(tiny("bf16")))
    assert found.result.calls == [found.result.declared] * 2
    assert found.judgement.verdict is Verdict.PASS
