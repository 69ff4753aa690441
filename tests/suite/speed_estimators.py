"""Candidate estimators of the speedup, scored on simulated hosts: what the choice in `judge.intervals` rests on.

`python -m tests.suite.speed_estimators` prints the whole table in about five minutes; `test_speed_simulation.py`
repeats what was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from fixtures.gates.speed.intervals import paired_ratio
from tests.suite.speed_hosts import HOSTS, NIGHTS, STEADY_RATIO, Floats, shares

Estimator = Callable[[Floats, Floats], Floats]


def quantile(q: float, reference: Floats, measured: Floats) -> Floats:
    ratio: Floats = np.log(np.quantile(reference, q, axis=-1) / np.quantile(measured, q, axis=-1))
    return ratio


def smooth_quantile(q: float, reference: Floats, measured: Floats) -> Floats:
    rounds = reference.shape[-1]
    edges = np.arange(rounds + 1) / rounds
    weights = np.diff(stats.beta.cdf(edges, (rounds + 1) * q, (rounds + 1) * (1 - q)))
    ratio: Floats = np.log((np.sort(reference, -1) @ weights) / (np.sort(measured, -1) @ weights))
    return ratio


def paired_median(reference: Floats, measured: Floats) -> Floats:
    return np.asarray(np.median(np.log(reference / measured), axis=-1))


def hodges_lehmann(reference: Floats, measured: Floats) -> Floats:
    ratios = np.log(reference / measured)
    first, second = np.triu_indices(ratios.shape[-1])
    return np.asarray(np.median((ratios[..., first] + ratios[..., second]) / 2, axis=-1))


def trimmed_mean(reference: Floats, measured: Floats) -> Floats:
    return np.asarray(stats.trim_mean(np.log(reference / measured), 0.2, axis=-1))


def geometric_mean(reference: Floats, measured: Floats) -> Floats:
    return np.asarray(np.mean(np.log(reference / measured), axis=-1))


CANDIDATES: dict[str, Estimator] = {
    "Harrell-Davis 25 %": partial(smooth_quantile, 0.25),
    "Harrell-Davis 10 %": partial(smooth_quantile, 0.10),
    "plain 25 % quantile": partial(quantile, 0.25),
    "ratio of medians": partial(quantile, 0.50),
    "median of paired ratios": paired_median,
    "Hodges-Lehmann of paired ratios": hodges_lehmann,
    "20 % trimmed mean of paired ratios": trimmed_mean,
    "geometric mean of paired ratios": geometric_mean,
}
INTERVALS = ("t", "percentile", "BCa")


@dataclass(frozen=True, kw_only=True)
class Score:
    """Of many simulated runs, in per cent: how often the interval held the truth, its half-width, the estimate's error
    within a process, and how far processes differ beyond it."""

    coverage: float
    half_width: float
    error: float
    between: float


def score(host: str, estimator: Estimator, rounds: int, runs: int, interval: str = "t") -> Score:
    covered, widths, errors, truths = 0, [], [], []
    for run in range(runs):
        random = np.random.default_rng([20, run])
        draw = HOSTS[host](random)
        reference, measured = draw(rounds)
        low, high = _interval(estimator, reference, measured, interval)
        if host in STEADY_RATIO:
            truth = math.log(STEADY_RATIO[host])
        else:
            # Pairwise estimators build an array of rounds squared.
            truth = float(estimator(*draw(1500 if estimator is hodges_lehmann else 10_000)))
        covered += low <= truth <= high
        widths.append((high - low) / 2)
        errors.append(float(estimator(reference, measured)) - truth)
        truths.append(truth)
    return Score(
        coverage=100 * covered / runs,
        half_width=100 * float(np.mean(widths)),
        error=100 * float(np.sqrt(np.mean(np.square(errors)))),
        between=100 * float(np.std(truths)),
    )


def _interval(estimator: Estimator, reference: Floats, measured: Floats, kind: str) -> tuple[float, float]:
    if kind == "t" and estimator is CANDIDATES["Harrell-Davis 25 %"]:
        estimate = paired_ratio(list(reference), list(measured))
        return math.log(estimate.low), math.log(estimate.high)
    random = np.random.default_rng(1)
    if kind == "BCa":
        result = stats.bootstrap(
            (reference, measured),
            lambda r, f, axis=-1: estimator(r, f),
            paired=True,
            vectorized=True,
            n_resamples=999,
            rng=random,
        )
        return float(result.confidence_interval.low), float(result.confidence_interval.high)
    chosen = random.integers(0, reference.size, (499, reference.size))
    spread = estimator(reference[chosen], measured[chosen])
    if kind == "percentile":
        low, high = np.quantile(spread, [0.025, 0.975])
        return float(low), float(high)
    centre = float(estimator(reference, measured))
    half = float(stats.t.ppf(0.975, reference.size - 1) * np.std(spread, ddof=1))
    return centre - half, centre + half


def main() -> None:
    """Print the table that the choice rests on."""
    for host in HOSTS:
        for rounds in (5, 8, 12, 40):
            print(f"{host} host, {rounds} rounds: coverage, half-width, error, between processes (%)")
            for name, estimator in CANDIDATES.items():
                for interval in INTERVALS if name == "Harrell-Davis 25 %" else INTERVALS[:1]:
                    found = score(host, estimator, rounds, 300, interval)
                    print(
                        f"  {name + ', ' + interval:40s} {found.coverage:6.1f} {found.half_width:6.2f} "
                        f"{found.error:6.2f} {found.between:6.2f}",
                        flush=True,
                    )
    print("nights against a baseline with margin 0.93: pass, unsure, fail (%), mean rounds")
    for host in HOSTS:
        for change in NIGHTS:
            found_shares = shares(host, 500, **change)
            print(
                f"  {host:12s} {change!s:32s} {found_shares['pass']:6.1f} "
                f"{found_shares['unsure']:6.1f} {found_shares['fail']:6.1f} {found_shares['rounds']:6.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
