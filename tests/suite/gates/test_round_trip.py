"""Everything that should be equal after a round trip is, and nothing compared is never equal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalog.limits import Limits
from fixtures.gates.base import conclude
from fixtures.gates.round_trip import GATE
from fixtures.gates.round_trip.gate import RoundTripResult
from fixtures.gates.verdict import Verdict, settle
from tests.suite.contexts import UNRECORDED, context, tiny

WAYS = {"low_cpu_mem_usage": 122, "device_map": 122}
HEALTHY = RoundTripResult(
    expected=39,
    found=39,
    common=39,
    equal_weights=39,
    reloaded=39,
    outputs_equal=2,
    steps=2,
    split=16,
    values=122,
    sharded=WAYS,
)
COUNTS = sorted(set(RoundTripResult.model_fields) - {"sharded", "split", "values", "refused"})


def verdict(**changes: object) -> Verdict:
    """The verdict about a round trip that is healthy but for `changes`."""
    return settle(GATE.judge(HEALTHY.model_copy(update=changes), Limits(), UNRECORDED)).verdict


@given(name=st.sampled_from(COUNTS), value=st.integers(0, 60))
def test_any_count_that_is_off_fails(name: str, value: int) -> None:
    assert (verdict(**{name: value}) is Verdict.PASS) == (value == getattr(HEALTHY, name))


@given(way=st.sampled_from(sorted(WAYS)), lost=st.integers(1, 122))
def test_a_value_that_the_shards_lose_on_one_way_fails(way: str, lost: int) -> None:
    assert verdict(sharded=WAYS | {way: 122 - lost}) is Verdict.FAIL


@pytest.mark.parametrize(
    "nothing",
    [
        dict.fromkeys(COUNTS, 0),
        {"split": 0},
        {"sharded": {}},
        {"steps": 0, "outputs_equal": 0},
        {"common": 0, "equal_weights": 0},
        {"expected": 0, "found": 0, "reloaded": 0, "common": 0, "equal_weights": 0},
    ],
)
def test_nothing_compared_never_passes(nothing: dict[str, object]) -> None:
    assert verdict(**nothing) is Verdict.FAIL


def test_a_tiny_pipeline_survives_the_disk() -> None:
    found = conclude(GATE, context(tiny()))
    assert found.judgement.verdict is Verdict.PASS
    assert found.result.steps == 2
    assert found.result.split > 0
