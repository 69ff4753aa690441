"""The power table: repeated from the committed traces, and its machinery on traces whose answer is known."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.gates.verdict import Verdict
from fixtures.research.power import ANOTHER_HOST, HEALTHY, SAME_HOST, Rate, Trace, nights, power, rules
from fixtures.research.traces.estimators import estimator_table
from fixtures.research.traces.read import CONFIGURATIONS, described, read
from fixtures.research.traces.table import limits_of, table

ROOT = Path(__file__).resolve().parents[3]
TRACES = Path(__file__).parents[1] / "traces" / "h200.npz"
DOCUMENT = ROOT / "docs" / "studies" / "speed.md"
REPEATED = "reduce-overhead-bs1"
"""The configuration of the table that this test computes again; the whole takes minutes (README)."""


@cache
def stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs" / "studies" / "power.json").read_text(encoding="utf-8"))
    return found


def rates() -> list[Rate]:
    return [Rate(**rate) for rate in stored()["rates"]]


def red(
    rule: str, slowdown: str, configurations: tuple[str, ...] = CONFIGURATIONS, *, baseline: str = SAME_HOST
) -> float:
    wanted = (rule, slowdown, baseline)
    chosen = [r for r in rates() if (r.rule, r.slowdown, r.baseline) == wanted and r.configuration in configurations]
    return sum(r.failed + r.unsure for r in chosen) / sum(r.nights for r in chosen)


def test_the_committed_table_follows_from_the_committed_traces() -> None:
    """Healthy nights, the first slowdown that was recorded, and one that is exactly known; what is drawn is the same
    for all of them."""
    traces = {process: replace(trace, calls=trace.calls[:3]) for process, trace in read(TRACES)[REPEATED].items()}
    again = power({REPEATED: traces}, limits_of, **stored()["drawn"], exact=(1,))
    slowdowns = {HEALTHY, "exactly 1 %", *next(iter(traces.values())).calls[2:]}
    assert len(slowdowns) == 3
    assert again == [rate for rate in rates() if rate.configuration == REPEATED and rate.slowdown in slowdowns]


def test_the_traces_are_what_was_asked_for() -> None:
    traces, meta = read(TRACES), described(TRACES)
    assert len(meta) == 9
    assert len({frozenset(process["gpus"]) for process in meta.values()}) == 2
    assert {process["device"] for process in meta.values()} == {"NVIDIA H200"}
    for name in CONFIGURATIONS:
        for process, trace in traces[name].items():
            assert trace.calls[:2] == ("bf16", "fp8"), (name, process)
            assert len(trace.calls) == 10
            assert trace.device is not None
            assert np.isfinite(trace.wall).all()
            assert np.isfinite(trace.device).all()
            assert (trace.device <= trace.wall).all(), "the device cannot compute longer than the call takes"
    for name in CONFIGURATIONS:
        whole = [process for process, trace in traces[name].items() if len(trace.wall) == 100]
        assert len(whole) >= 5, name


def test_an_injected_device_delay_is_in_the_devices_seconds_and_a_host_delay_is_not() -> None:
    for trace in read(TRACES)["regional-bs1"].values():
        assert trace.device is not None
        median = dict(zip(trace.calls, np.median(trace.device, axis=0), strict=True))
        assert median["fp8 device 10"] / median["fp8"] == pytest.approx(1.095, abs=0.003)
        assert median["fp8 host 10"] / median["fp8"] == pytest.approx(1.0, abs=0.001)


# What docs/studies/speed.md claims.


BATCH_1 = tuple(name for name in CONFIGURATIONS if name.endswith("bs1"))
COMPILED = tuple(name for name in CONFIGURATIONS if not name.startswith("eager"))


def test_the_device_ruler_finds_one_per_cent_at_batch_1_on_the_host_of_the_baseline() -> None:
    assert red("this gate, device", "exactly 1 %", BATCH_1) >= 0.95


@pytest.mark.parametrize("baseline", [SAME_HOST, ANOTHER_HOST])
def test_the_device_ruler_never_cries_wolf_and_always_finds_five_per_cent(baseline: str) -> None:
    assert red("this gate, device", HEALTHY, baseline=baseline) == 0.0
    assert red("this gate, device", "exactly 5 %", baseline=baseline) == 1.0
    assert red("this gate, device", "exactly 10 %", baseline=baseline) == 1.0


def test_the_wall_ruler_lets_no_ten_per_cent_of_compiled_calls_pass() -> None:
    assert red("this gate, wall", "exactly 10 %", COMPILED) == 1.0


def test_the_wall_of_another_host_is_judged_where_the_gpu_sets_the_pace() -> None:
    others = tuple(name for name in CONFIGURATIONS if name not in BATCH_1)
    assert red("this gate, wall", "exactly 10 %", BATCH_1, baseline=ANOTHER_HOST) == 0.0
    assert red("this gate, wall", "exactly 10 %", others, baseline=ANOTHER_HOST) == 1.0
    assert red("this gate, wall", HEALTHY, others, baseline=ANOTHER_HOST) <= 0.01


def test_no_healthy_night_is_undecided_where_counts_agree_and_no_loss_of_the_whole_call_is_lost_by_it() -> None:
    undecided = [rate.unsure for rate in rates() if (rate.rule, rate.slowdown) == ("this gate", HEALTHY)]
    assert not any(undecided)
    assert red("this gate", HEALTHY) < red("this gate, without counts", HEALTHY) / 3
    for slowdown in ("exactly 1 %", "exactly 2 %", "exactly 5 %"):
        assert red("this gate", slowdown) >= red("this gate, device", slowdown)


def test_a_busy_host_that_dispatches_nothing_more_is_found_where_it_is_proven_alone() -> None:
    assert red("this gate, without counts", "fp8 host 10") > 0.95
    assert 0.6 < red("this gate", "fp8 host 10") < 0.75


@pytest.mark.parametrize("rule", ["Mann-Whitney U, .05", "t interval on the mean", "torchbench, 7 %, one sample"])
def test_tests_that_take_rounds_for_independent_cry_wolf(rule: str) -> None:
    assert red(rule, HEALTHY) > 0.2
    assert red("this gate, wall", HEALTHY) < 0.1


@pytest.mark.parametrize("baseline", [SAME_HOST, ANOTHER_HOST])
def test_the_document_shows_the_committed_table(baseline: str) -> None:
    assert table(rates(), baseline=baseline) in DOCUMENT.read_text(encoding="utf-8")


def test_the_document_shows_what_the_traces_say_of_estimators() -> None:
    assert estimator_table(read(TRACES)) in DOCUMENT.read_text(encoding="utf-8")


# The machinery.


def trace(speed: float, *, noise: float = 0.0, seed: int = 0) -> Trace:
    chance = np.random.default_rng(seed)
    columns = np.array([1.3, 1.0 / speed, 1.05 / speed])
    seconds = 1e-2 * columns * (1 + noise * chance.standard_normal((60, 3)))
    return Trace(calls=("bf16", "fp8", "fp8 device 5"), wall=seconds, device=0.9 * seconds)


def test_nights_pair_every_process_with_every_other_and_name_their_slowdowns() -> None:
    made = list(
        nights(
            {"a": trace(1.0), "b": trace(1.0), "c": trace(1.0)},
            wall_rounds=30,
            device_rounds=20,
            draws=2,
            seed=0,
            exact=(10,),
        )
    )
    assert len(made) == 6 * 4 * 3
    assert {name for name, _, _ in made} == {HEALTHY, "fp8 device 5", "exactly 10 %"}
    for name, now, then in made:
        slower = {HEALTHY: 1.0, "fp8 device 5": 1.05, "exactly 10 %": 1.1}[name]
        assert now.wall.seconds[0] / then.wall.seconds[0] == pytest.approx(slower)
        assert now.device is not None
        assert (len(now.wall.seconds), len(now.device.seconds)) == (30, 20)


def test_a_process_with_too_few_rounds_is_left_out_and_equal_seeds_give_equal_nights() -> None:
    traces = {"a": trace(1.0, noise=0.01), "b": trace(1.0, noise=0.01, seed=1)}
    assert list(nights(traces, wall_rounds=20, device_rounds=20, draws=2, seed=0, least=61)) == []
    one, other = (list(nights(traces, wall_rounds=20, device_rounds=20, draws=2, seed=3)) for _ in range(2))
    assert one == other


def test_every_rule_sees_what_is_obvious() -> None:
    traces = {"a": trace(1.0, noise=0.001), "b": trace(1.0, noise=0.001, seed=1)}
    judges = rules(limits_of("regional-bs1"))
    for name, now, then in nights(traces, wall_rounds=40, device_rounds=40, draws=1, seed=0, exact=(50,)):
        for rule, judge in judges.items():
            if name == "exactly 50 %":
                assert judge(now, then) is Verdict.FAIL, rule
            if name == HEALTHY and rule not in {"Mann-Whitney U, .05", "t interval on the mean"}:
                assert judge(now, then) is Verdict.PASS, rule
