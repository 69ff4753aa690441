"""Everything that should be equal after a round trip is, and nothing compared is never equal."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalog.limits import Limits
from fixtures.gates.base import conclude
from fixtures.gates.round_trip import GATE
from fixtures.gates.round_trip.gate import RoundTripResult
from fixtures.gates.round_trip.trip import NoRoom, parting_size
from fixtures.gates.verdict import Verdict, settle
from fixtures.run.next_command import NO_VERSION_TO_BLAME
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


def shards(parts: list[tuple[str, int]], size: int) -> list[list[str]]:
    """The weights of each file, as huggingface_hub fills files."""
    files: list[list[str]] = [[]]
    held = 0
    for weight, part in parts:
        if held + part > size and files[-1]:
            files.append([])
            held = 0
        files[-1].append(weight)
        held += part
    return files


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(1, 50)), min_size=1, max_size=20), st.integers(1, 60))
def test_the_first_shard_ends_inside_a_weight(sizes: list[tuple[int, int]], wanted: int) -> None:
    parts = [(str(number), part) for number, weight in enumerate(sizes) for part in weight]
    first, second, *_ = shards(parts, parting_size(parts, shards=wanted))
    assert first[-1] == second[0]


def test_a_full_disk_is_no_releases_doing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(NoRoom, match=r"has 0\.0 GB free, and the saved denoiser takes 0\.0; make room or name another"):
        conclude(GATE, context(tiny()))
    assert NoRoom.cause in NO_VERSION_TO_BLAME


def test_a_tiny_pipeline_survives_the_disk() -> None:
    found = conclude(GATE, context(tiny()))
    assert found.judgement.verdict is Verdict.PASS
    assert found.result.steps == 2
    assert found.result.split > 0
