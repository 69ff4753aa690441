"""The chosen estimator keeps its promises on simulated hosts, and whole nights of the gate end as they should."""

from __future__ import annotations

from collections import Counter

import pytest

from fixtures.gates.speed.judge import REFERENCE_SECONDS, SLOW_CALLS, SPEEDUP_CHANGE
from fixtures.gates.verdict import Verdict, settle
from tests.suite.speed_estimators import CANDIDATES, score
from tests.suite.speed_hosts import HOSTS, MAXIMUM, gate_run

CHOSEN = CANDIDATES["Harrell-Davis 25 %"]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("rounds", [5, 8, 12, 40])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(host: str, rounds: int) -> None:
    assert score(host, CHOSEN, rounds, 120).coverage >= 88


def test_on_a_shared_host_processes_differ_half_as_much_as_by_medians() -> None:
    chosen = score("shared", CHOSEN, 40, 100)
    for rival in ("ratio of medians", "median of paired ratios", "geometric mean of paired ratios"):
        other = score("shared", CANDIDATES[rival], 40, 100)
        assert chosen.between < 0.55 * other.between
        assert chosen.half_width < 0.75 * other.half_width


def test_paired_means_are_overconfident_beside_a_bursty_neighbour() -> None:
    assert score("bursty", CHOSEN, 40, 100).coverage >= 90
    assert score("bursty", CANDIDATES["20 % trimmed mean of paired ratios"], 40, 100).coverage < 80


@pytest.mark.parametrize("host", HOSTS)
def test_a_healthy_night_passes(host: str) -> None:
    found = Counter(settle(gate_run(host, night)[0]).verdict for night in range(60))
    assert found[Verdict.FAIL] == found[Verdict.ERROR] == 0
    assert found[Verdict.PASS] >= 57


@pytest.mark.parametrize("host", HOSTS)
def test_a_loss_of_a_fifth_never_passes_and_is_named(host: str) -> None:
    judgements = [settle(gate_run(host, night, slowdown=1.2)[0]) for night in range(40)]
    assert all(judgement.verdict in {Verdict.FAIL, Verdict.UNSURE} for judgement in judgements)
    failed = [judgement for judgement in judgements if judgement.verdict is Verdict.FAIL]
    assert len(failed) >= 37
    assert all(SPEEDUP_CHANGE in judgement.message for judgement in failed)


@pytest.mark.parametrize("host", ["shared", "quiet", "throttling"])
def test_calls_that_stall_every_other_time_are_seen_though_the_lower_quartile_is_not_moved(host: str) -> None:
    judgements = [settle(gate_run(host, night, sporadic=0.5)[0]) for night in range(30)]
    assert sum(judgement.verdict is Verdict.PASS for judgement in judgements) <= 1
    assert sum(SLOW_CALLS in judgement.message for judgement in judgements) >= 28


def test_a_loss_of_bf16_and_the_format_alike_is_told_apart_from_a_lost_speedup() -> None:
    for night in range(20):
        checks, _ = gate_run("quiet", night, slowdown=1.4, reference_slowdown=1.4)
        assert [check.name for check in checks if check.verdict is not Verdict.PASS] == [REFERENCE_SECONDS]


def test_noise_buys_more_rounds_and_quiet_saves_them() -> None:
    quiet = [gate_run("quiet", night)[1] for night in range(20)]
    shared = [gate_run("shared", night)[1] for night in range(20)]
    assert max(quiet + shared) <= MAXIMUM
    assert sum(quiet) < sum(shared) / 2
