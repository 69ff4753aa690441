"""What a call costs besides time: each limit turns red when its quantity grows, and nothing unknown passes."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.catalog.common_limits import COMMON_LIMITS
from fixtures.catalog.schema import Limit
from fixtures.gates.speed.costs import COST_QUANTITIES, ENERGY, FIRST_CALL, LAUNCHES, judge_costs
from fixtures.gates.usable import Refusal
from fixtures.gates.verdict import Check, Verdict
from fixtures.results.sections import Costs

BEFORE: dict[str, Any] = {
    "first_call_seconds": 22.66,
    "cache_misses": 3,
    "joules": 71.9,
    "reference_joules": 92.05,
    "graph_launches": 57,
    "kernel_launches": 96,
}
"""FLUX.1-dev in fp8 on one H200: baselines/hopper/flux1-dev/fp8-random-bs1-reduce-overhead.json."""
LIMITS: dict[str, Limit] = {limit.quantity: limit for limit in COMMON_LIMITS if limit.quantity in COST_QUANTITIES}


def judged(then: Any = BEFORE, limits: Any = None, **changes: Any) -> dict[str, Check]:
    """The checks of a night that differs from the baseline in `changes`."""
    baseline = Costs(**then) if isinstance(then, dict) else then
    found = judge_costs(now=Costs(**{**BEFORE, **changes}), then=baseline, limits=limits or list(LIMITS.values()))
    return {check.name: check for check in found}


def test_the_same_costs_pass() -> None:
    assert set(LIMITS) == set(COST_QUANTITIES)
    assert {name: check.verdict for name, check in judged().items()} == dict.fromkeys(COST_QUANTITIES, Verdict.PASS)


@pytest.mark.parametrize(
    ("changes", "red", "said"),
    [
        ({"graph_launches": 0, "kernel_launches": 1199}, LAUNCHES, "57 graphs and 96 kernels -> 0 graphs and 1199"),
        ({"graph_launches": 114}, LAUNCHES, "114 graphs"),
        ({"joules": 92.0}, ENERGY, "92 J of bf16's 92.05 J"),
        ({"first_call_seconds": 80.0}, FIRST_CALL, "22.7 s, cold cache -> 80.0 s, cold cache"),
        ({"first_call_seconds": 80.0, "cache_misses": 0}, FIRST_CALL, "80.0 s, warm cache"),
    ],
)
def test_a_cost_that_grew_is_red_alone_and_says_from_what(changes: dict[str, Any], red: str, said: str) -> None:
    found = judged(**changes)
    assert [name for name, check in found.items() if check.verdict is Verdict.FAIL] == [red]
    assert said in found[red].sentence()


def test_a_hotter_gpu_that_costs_both_sides_alike_changes_nothing() -> None:
    hot = judged(joules=71.9 * 1.3, reference_joules=92.05 * 1.3)[ENERGY]
    assert hot.verdict is Verdict.PASS
    assert hot.value == pytest.approx(1.0)


def test_a_cold_night_is_not_held_against_a_warm_baseline() -> None:
    cold = judged({**BEFORE, "first_call_seconds": 6.0, "cache_misses": 0}, first_call_seconds=22.0)[FIRST_CALL]
    assert cold.verdict is Verdict.SKIP
    assert "record it again with a cold one" in cold.note


@pytest.mark.parametrize(
    ("absent", "red"), [("joules", ENERGY), ("kernel_launches", LAUNCHES), ("first_call_seconds", FIRST_CALL)]
)
def test_what_the_baseline_knew_and_tonight_did_not_tell_is_an_error(absent: str, red: str) -> None:
    found = judged(**{absent: None})
    assert [name for name, check in found.items() if check.verdict is Verdict.ERROR] == [red]


def test_what_the_baseline_never_knew_is_not_judged() -> None:
    assert judged({**BEFORE, "joules": None}).keys() == {LAUNCHES, FIRST_CALL}
    assert judged(then=None) == {}


def test_a_refused_baseline_stands_for_every_cost() -> None:
    entitled = Refusal(section="speed", reason="recorded on another device", entitled=True)
    assert {check.verdict for check in judged(then=entitled).values()} == {Verdict.SKIP}
    assert judged(then=entitled).keys() == set(COST_QUANTITIES)
