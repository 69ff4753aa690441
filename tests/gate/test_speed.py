"""The speedup over bf16 stays above its floor, and no worse than its baseline by more than the margin."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.catalog.schema import Case
from fixtures.gates.speed import GATE
from fixtures.run.plugin import Run


def test_speedup_stays_above_floor(case: Case, run: Run, benchmark: BenchmarkFixture) -> None:
    """Paired rounds A B A B through pytest-benchmark; at full size also on the device's own clock."""
    run.conclude(GATE, case, timer=benchmark)
