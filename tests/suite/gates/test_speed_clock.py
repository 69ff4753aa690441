"""The clock, run by pytest inside pytest with fake callables that move a fake clock: nothing here depends on how fast
this machine is."""

from __future__ import annotations

import json
from typing import Any

import pytest

# The runs inside share what is imported here: numpy cannot be loaded twice in one process.
from fixtures.gates.speed.clock import RoundPlan

pytest_plugins = ["pytester"]

FAKE = """
import gc
import pytest
from fixtures.catalog.schema import Limit
from fixtures.gates.usable import Refusal
from fixtures.gates.speed.speed import SPEEDUP, judge_speed
from fixtures.gates.verdict import settle
from fixtures.gates.speed.clock import CannotTime, RoundPlan, interleaved_rounds

NOW = [0.0]
LOG = []

def clock():
    return NOW[0]

def takes(name, *seconds):
    def call():
        NOW[0] += seconds[sum(1 for entry in LOG if entry == name) % len(seconds)]
        LOG.append(name)
    return call

def judged(benchmark, reference, candidate, floor, plan=None, **more):
    plan = plan or RoundPlan(floors=(floor,))
    timings = interleaved_rounds(benchmark, reference, candidate, plan=plan, clock=clock, **more)
    limit = Limit(gate="speed", quantity=SPEEDUP, unit="x", source="a test", floor=floor)
    none = Refusal(section="speed", reason="no baseline in this test", entitled=True)
    checks = judge_speed(
        samples=timings.samples, limits=[limit], baseline=none, format="fp8", arithmetic="native",
        disturbance=timings.disturbance,
    )
    return timings, settle(checks)
"""


@pytest.fixture
def run(pytester: pytest.Pytester, pytestconfig: pytest.Config) -> Any:
    """Runs a test body under the fake clock and returns pytest's result."""

    def run_body(body: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(FAKE + "\n@pytest.mark.benchmark(timer=clock)\ndef test_it(benchmark):\n" + body)
        pytester.syspathinsert(pytestconfig.rootpath)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest", *arguments)

    return run_body


def test_a_clear_speedup_passes(run: Any) -> None:
    result = run(
        "    timings, judgement = judged(benchmark, takes('bf16', 1.3, 1.31), takes('fp8', 1.0, 1.01), 1.2)\n"
        "    assert judgement.verdict == 'pass', judgement.message\n"
        "    assert len(timings.samples.seconds) == RoundPlan().minimum\n"
    )
    result.assert_outcomes(passed=1)


def test_a_lost_speedup_fails_and_says_by_how_much(run: Any) -> None:
    result = run(
        "    _, judgement = judged(benchmark, takes('bf16', 1.3, 1.31), takes('fp8', 1.2, 1.21), 1.2)\n"
        "    assert judgement.verdict == 'pass', judgement.message\n"
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*speedup 1.08*x [[]1.0*, 1.0*[]] below floor 1.2x (bf16 1.3* s, fp8 1.2* s, 10 rounds)*"]
    )


def test_noise_across_the_floor_stays_unsure_after_the_most_rounds(run: Any) -> None:
    result = run(
        "    fp8 = takes('fp8', 0.8, 1.2, 0.9, 1.1, 1.0)\n"
        "    plan = RoundPlan(floors=(1.45,), maximum=30)\n"
        "    timings, judgement = judged(benchmark, takes('bf16', 1.3), fp8, 1.45, plan)\n"
        "    assert judgement.verdict == 'unsure', judgement.message\n"
        "    assert 'straddles floor 1.45x' in judgement.message\n"
        "    assert len(timings.samples.seconds) == 30\n"
    )
    result.assert_outcomes(passed=1)


def test_an_undecided_first_look_spends_the_rest_of_the_budget_on_a_second(run: Any, pytester: pytest.Pytester) -> None:
    body = (
        "    asked = []\n"
        "    def undecided(samples):\n"
        "        asked.append(len(samples.seconds))\n"
        "        return True\n"
        "    plan, heard = RoundPlan(maximum=25), []\n"
        "    timings, _ = judged(\n"
        "        benchmark, takes('bf16', 1.3), takes('fp8', 1.0), 1.2, plan,\n"
        "        undecided=undecided, progress=lambda *n: heard.append(n)\n"
        "    )\n"
        "    assert asked == [10]\n"
        "    assert timings.looks == 2\n"
        "    assert heard[-1] == (25, 25)\n"
        "    assert len(timings.samples.seconds) == len(timings.samples.reference_seconds) == 25\n"
    )
    run(body, "--benchmark-json=out.json").assert_outcomes(passed=1)
    (entry,) = json.loads((pytester.path / "out.json").read_text())["benchmarks"]
    assert entry["stats"]["rounds"] == len(entry["extra_info"]["reference_seconds"]) == 25


def test_a_decided_first_look_is_the_last(run: Any) -> None:
    result = run(
        "    timings, _ = judged(\n"
        "        benchmark, takes('bf16', 1.3), takes('fp8', 1.0), 1.2, undecided=lambda samples: False\n"
        "    )\n"
        "    assert (timings.looks, len(timings.samples.seconds)) == (1, 10)\n"
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("sizes", [{"pilot_rounds": 4}, {"minimum": 4}, {"minimum": 20, "maximum": 19}])
def test_a_plan_too_small_for_an_interval_is_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="no stage can have fewer than 5"):
        RoundPlan(**sizes)  # type: ignore[arg-type]


def test_the_budget_bounds_the_rounds_of_slow_calls(run: Any) -> None:
    result = run(
        "    fp8 = takes('fp8', 80, 120, 90, 110, 100)\n"
        "    plan = RoundPlan(floors=(1.45,), minimum=6, budget_seconds=60)\n"
        "    timings, _ = judged(benchmark, takes('bf16', 130), fp8, 1.45, plan)\n"
        "    assert len(timings.samples.seconds) == 6\n"
    )
    result.assert_outcomes(passed=1)


def test_sides_take_turns_and_the_order_swaps_halfway(run: Any) -> None:
    result = run(
        "    plan = RoundPlan(pilot_rounds=5, minimum=6, maximum=7, budget_seconds=1e6, warmup_rounds=1)\n"
        "    bf16 = takes('bf16', *range(1, 100))\n"
        "    fp8 = takes('fp8', *range(1, 100))\n"
        "    timings, _ = judged(benchmark, bf16, fp8, 0.5, plan)\n"
        "    assert LOG[12:] == ['bf16', 'fp8'] * 4 + ['fp8', 'bf16'] * 3\n"
        "    assert timings.samples.reference_seconds == timings.samples.seconds == (8, 9, 10, 11, 12, 13)\n"
        "    assert timings.pilot.reference_seconds == timings.pilot.seconds == (2, 3, 4, 5, 6)\n"
    )
    result.assert_outcomes(passed=1)


def test_calls_that_fill_the_budget_at_the_minimum_have_no_pilot_beyond_one_round(run: Any) -> None:
    result = run(
        "    plan = RoundPlan(pilot_rounds=5, minimum=6, maximum=60, budget_seconds=13, warmup_rounds=1)\n"
        "    timings, _ = judged(benchmark, takes('bf16', 1.0), takes('fp8', 1.0), 0.5, plan)\n"
        "    assert LOG[:4] == ['bf16', 'fp8'] * 2\n"
        "    assert (len(timings.pilot.seconds), len(timings.samples.seconds)) == (1, 6)\n"
    )
    result.assert_outcomes(passed=1)


def test_waiting_for_the_accelerator_belongs_to_both_timed_calls(run: Any) -> None:
    result = run(
        "    timings, _ = judged(\n"
        "        benchmark, takes('bf16', 1.0), takes('fp8', 1.0), 0.9, synchronize=takes('wait', 1.0)\n"
        "    )\n"
        "    assert set(timings.samples.seconds) == set(timings.samples.reference_seconds) == {2.0}\n"
    )
    result.assert_outcomes(passed=1)


def test_progress_hears_each_round(run: Any) -> None:
    result = run(
        "    heard = []\n"
        "    judged(benchmark, takes('bf16', 1.3), takes('fp8', 1.0), 1.2, progress=lambda *n: heard.append(n))\n"
        "    assert heard == [(n, 10) for n in range(11)]\n"
    )
    result.assert_outcomes(passed=1)


def test_the_benchmark_file_holds_both_sides_and_the_interval(run: Any, pytester: pytest.Pytester) -> None:
    body = "    judged(benchmark, takes('bf16', 1.5), takes('fp8', 1.0), 1.2)\n"
    run(body, "--benchmark-json=out.json").assert_outcomes(passed=1)
    (entry,) = json.loads((pytester.path / "out.json").read_text())["benchmarks"]
    assert entry["stats"]["data"] == [1.0] * 10
    assert entry["extra_info"]["reference_seconds"] == [1.5] * 10
    assert entry["extra_info"]["speedup"] == pytest.approx(1.5)
    assert entry["extra_info"]["interval"] == pytest.approx([1.5, 1.5])


def test_a_disabled_benchmark_is_an_error_with_a_remedy(run: Any) -> None:
    result = run("    judged(benchmark, takes('bf16', 1.5), takes('fp8', 1.0), 1.2)\n", "--benchmark-disable")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*CannotTime: pytest-benchmark is off*run without --benchmark-disable*"])


def test_a_clock_that_stands_still_is_an_error(run: Any) -> None:
    result = run("    judged(benchmark, takes('bf16', 0.0), takes('fp8', 0.0), 1.2)\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*CannotTime: the timed calls hold no speedup: reference seconds hold 0*"])


def test_the_real_clock_times_real_calls(pytester: pytest.Pytester, pytestconfig: pytest.Config) -> None:
    pytester.syspathinsert(pytestconfig.rootpath)
    pytester.makepyfile(
        FAKE
        + "\ndef test_it(benchmark):\n"
        + "    plan = RoundPlan(pilot_rounds=5, minimum=5, maximum=7)\n"
        + "    work = lambda: sum(range(1000))\n"
        + "    timings = interleaved_rounds(benchmark, work, work, plan=plan)\n"
        + "    assert 5 <= len(timings.samples.seconds) == len(timings.samples.reference_seconds) <= 7\n"
        + "    assert min(timings.samples.seconds + timings.samples.reference_seconds) > 0\n"
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest").assert_outcomes(passed=1)


def test_two_clocks_are_an_error(pytester: pytest.Pytester, pytestconfig: pytest.Config) -> None:
    pytester.makepyfile(
        FAKE + "\ndef test_it(benchmark):\n    judged(benchmark, takes('bf16', 1.5), takes('fp8', 1.0), 1.2)\n"
    )
    pytester.syspathinsert(pytestconfig.rootpath)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    result.stdout.fnmatch_lines(["*CannotTime: pytest-benchmark reads perf_counter*run without --benchmark-timer*"])


def test_both_sides_run_without_a_tracer(run: Any) -> None:
    result = run(
        "    import sys\n"
        "    before, seen = sys.gettrace(), set()\n"
        "    def tracer(*_):\n"
        "        return None\n"
        "    def watching(call):\n"
        "        def watched():\n"
        "            seen.add(sys.gettrace())\n"
        "            call()\n"
        "        return watched\n"
        "    sys.settrace(tracer)\n"
        "    try:\n"
        "        judged(benchmark, watching(takes('bf16', 1.3)), watching(takes('fp8', 1.0)), 1.2)\n"
        "        after = sys.gettrace()\n"
        "    finally:\n"
        "        sys.settrace(before)\n"
        "    assert seen == {None} and after is tracer\n"
    )
    result.assert_outcomes(passed=1)


def test_no_collection_runs_inside_a_call_and_it_works_again_afterwards(run: Any) -> None:
    result = run(
        "    states = []\n"
        "    fp8 = takes('fp8', 1.0)\n"
        "    def candidate():\n"
        "        states.append(gc.isenabled())\n"
        "        fp8()\n"
        "    judged(benchmark, takes('bf16', 1.3), candidate, 1.2)\n"
        "    assert not any(states) and gc.isenabled() and gc.get_freeze_count() == 0\n"
    )
    result.assert_outcomes(passed=1)


def test_memory_is_steady_again_after_a_call_that_raises(run: Any) -> None:
    result = run(
        "    def broken():\n"
        "        raise RuntimeError('out of memory')\n"
        "    with pytest.raises(RuntimeError, match='out of memory'):\n"
        "        judged(benchmark, takes('bf16', 1.3), broken, 1.2)\n"
        "    assert gc.isenabled() and gc.get_freeze_count() == 0\n"
    )
    result.assert_outcomes(passed=1)
