"""The power table: repeated from the committed traces, and its machinery on traces whose answer is known."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.judge.power import HEALTHY, Rate, Trace, nights, power, rules
from fixtures.judge.verdict import Verdict
from fixtures.measure.traces.read import CONFIGURATIONS, described, read
from fixtures.measure.traces.table import limits_of, table

ROOT = Path(__file__).resolve().parents[3]
TRACES = Path(__file__).parents[1] / "traces" / "h200.npz"
REPEATED = "reduce-overhead-bs1"
"""The configuration of the table that this test computes again; the whole takes minutes (README)."""


@cache
def stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs" / "power.json").read_text(encoding="utf-8"))
    return found


def rates() -> list[Rate]:
    return [Rate(**rate) for rate in stored()["rates"]]


def red(rule: str, slowdown: str, configurations: tuple[str, ...] = CONFIGURATIONS) -> float:
    chosen = [r for r in rates() if (r.rule, r.slowdown) == (rule, slowdown) and r.configuration in configurations]
    return sum(r.failed + r.unsure for r in chosen) / sum(r.nights for r in chosen)


def test_the_committed_table_follows_from_the_committed_traces() -> None:
    traces = read(TRACES)
    again = power({REPEATED: traces[REPEATED]}, limits_of, **stored()["drawn"])
    assert again == [rate for rate in rates() if rate.configuration == REPEATED]


def test_the_traces_are_what_was_asked_for() -> None:
    traces, meta = read(TRACES), described(TRACES)
    assert len(meta) == 5
    assert {process["device"] for process in meta.values()} == {"NVIDIA H200"}
    for name in CONFIGURATIONS:
        for process, trace in traces[name].items():
            assert trace.calls[:2] == ("bf16", "fp8"), (name, process)
            assert len(trace.calls) == 10
            assert trace.device is not None
            assert np.isfinite(trace.wall).all()
            assert np.isfinite(trace.device).all()
            assert (trace.device <= trace.wall).all(), "the device cannot compute longer than the call takes"
    assert all(len(trace.wall) == 100 for name in ("regional-bs1", REPEATED) for trace in traces[name].values())


def test_an_injected_device_delay_is_in_the_devices_seconds_and_a_host_delay_is_not() -> None:
    for trace in read(TRACES)["regional-bs1"].values():
        assert trace.device is not None
        median = dict(zip(trace.calls, np.median(trace.device, axis=0), strict=True))
        assert median["fp8 device 10"] / median["fp8"] == pytest.approx(1.095, abs=0.003)
        assert median["fp8 host 10"] / median["fp8"] == pytest.approx(1.0, abs=0.001)


# What docs/speed.md claims.


def test_the_device_ruler_finds_one_per_cent_at_batch_1_without_false_alarms() -> None:
    batch_1 = tuple(name for name in CONFIGURATIONS if name.endswith("bs1"))
    assert red("this gate, device", HEALTHY, batch_1) <= 0.001
    assert red("this gate, device", "exactly 1 %", batch_1) >= 0.95


def test_no_ruler_of_this_gate_lets_ten_per_cent_pass() -> None:
    assert red("this gate, wall", "exactly 10 %") == 1.0
    assert red("this gate, device", "exactly 10 %") == 1.0


@pytest.mark.parametrize("rule", ["Mann-Whitney U, .05", "t interval on the mean", "torchbench, 7 %, one sample"])
def test_tests_that_take_rounds_for_independent_cry_wolf(rule: str) -> None:
    assert red(rule, HEALTHY) > 0.1 > red("this gate, wall", HEALTHY)


def test_the_document_shows_the_committed_table() -> None:
    shown = table(rate for rate in rates() if "exactly" in rate.slowdown or rate.slowdown == HEALTHY)
    assert shown in (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")


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
        assert (len(now.wall.seconds), len(now.device.samples.seconds)) == (30, 20)


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
