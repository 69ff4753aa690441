"""What the speed gate measures beside seconds, on stand-ins for the GPU: launches, energy, disturbance, two looks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fixtures.gates.speed import ruler, speedometer
from fixtures.gates.speed.clock import RoundPlan
from fixtures.gates.speed.device import DeviceRounds
from fixtures.gates.speed.device_time import DeviceCall, Kernel, NoDeviceTime
from fixtures.gates.speed.ruler import GpuWatch, count_launches, device_rounds, joules_per_call
from fixtures.gates.speed.samples import SpeedSamples
from fixtures.gates.speed.speedometer import DEVICE_ROUNDS, MOST_DEVICE_ROUNDS, Calls, measure_speed
from fixtures.machine.disturbance import GpuState
from fixtures.machine.gpu import Gpu
from fixtures.results.speed import record_of, section_of

CALM = GpuState(sm_clock_mhz=1980, sm_clock_max_mhz=1980, power_limit_w=700, power_limit_default_w=700)
GPU = Gpu(name="NVIDIA H200", sm=(9, 0), memory_bytes=150 * 10**9, uuid="GPU-1")


class Clock:
    """Stands in for `DeviceClock`: bf16 computes 4 ms a call, the format 3."""

    sessions = 0

    def __init__(self) -> None:
        self.calls: list[DeviceCall] = []

    def __enter__(self) -> Clock:
        type(self).sessions += 1
        return self

    def time(self, call: Any) -> None:
        ms = call()
        kernels = (Kernel(name="gemm", start_ns=0, end_ns=int(ms * 1e6)),)
        self.calls.append(DeviceCall(wall_seconds=ms / 1e3, kernels=kernels))

    def __exit__(self, *_: object) -> None:
        return None


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    Clock.sessions = 0
    monkeypatch.setattr(ruler, "DeviceClock", Clock)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(speedometer, "find_gpu", lambda: GPU)
    monkeypatch.setattr(ruler, "find_gpu", lambda: GPU)
    monkeypatch.setattr(ruler, "read_gpu_state", lambda uuid: CALM)
    monkeypatch.setattr(ruler, "joules_so_far", lambda uuid: None)
    monkeypatch.setattr(speedometer, "launches_of", lambda call: ruler.Launches(graphs=57, kernels=12))
    return Clock


def test_launches_are_counted_from_the_runtimes_and_the_drivers_events() -> None:
    names = [
        "cudaGraphLaunch",
        "cudaLaunchKernel",
        "cudaLaunchKernelExC",
        "cuLaunchKernelEx",
        "cudaMemcpyAsync",
        "gemm",
    ]
    assert count_launches(names) == ruler.Launches(graphs=1, kernels=3)


def test_device_rounds_alternate_sides_and_take_a_second_look_once(device: type[Clock]) -> None:
    asked: list[int] = []

    def more(rounds: DeviceRounds) -> int:
        asked.append(len(rounds.samples.seconds))
        return 10

    timings = device_rounds(lambda: 4.0, lambda: 3.0, rounds=12, pair_seconds=0.01, budget_seconds=60, more=more)
    assert asked == [12]
    assert len(timings.rounds.samples.seconds) == 22
    assert set(timings.rounds.samples.seconds) == {3e-3}
    assert set(timings.rounds.samples.reference_seconds) == {4e-3}
    assert timings.rounds.kernels["gemm"] == pytest.approx((1.0, 3.0))
    assert timings.rounds.reference_kernels["gemm"] == pytest.approx((1.0, 4.0))


def test_device_rounds_stop_where_the_budget_ends_with_one_session_at_least(device: type[Clock]) -> None:
    timings = device_rounds(lambda: 4.0, lambda: 3.0, rounds=40, pair_seconds=9.0, budget_seconds=0.0)
    assert device.sessions == 1
    assert len(timings.rounds.samples.seconds) == ruler.SHORTEST


def test_energy_of_a_call_is_the_counters_change_over_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([100.0, 250.0])
    calls: list[int] = []
    monkeypatch.setattr(ruler, "joules_so_far", lambda uuid: next(ticks))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    now = iter(range(100))
    monkeypatch.setattr("fixtures.gates.speed.ruler.time.perf_counter", lambda: float(next(now)))
    assert joules_per_call(lambda: calls.append(1), "GPU-1") == pytest.approx(150.0 / len(calls))
    assert calls


@pytest.mark.parametrize("ticks", [[None], [5.0, None], [5.0, 5.0]])
def test_a_counter_that_does_not_tell_gives_no_energy(
    monkeypatch: pytest.MonkeyPatch, ticks: list[float | None]
) -> None:
    left = iter(ticks)
    monkeypatch.setattr(ruler, "joules_so_far", lambda uuid: next(left))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(ruler, "ENERGY_SECONDS", 0.0)
    assert joules_per_call(lambda: None, "GPU-1") is None


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (CALM, None),
        (GpuState(other_processes=(17,)), "another process computes on this GPU (pid 17)"),
        (GpuState(throttle_reasons=frozenset({"thermal (software)"}), temperature_c=92), "throttles at 92 C"),
        (GpuState(sm_clock_mhz=345, sm_clock_max_mhz=1980), "the SM clock is held at 345 of 1980 MHz"),
    ],
)
def test_the_gpu_is_looked_at_before_and_while_still_warm(
    device: type[Clock], monkeypatch: pytest.MonkeyPatch, after: GpuState, words: str | None
) -> None:
    watch = GpuWatch.start()
    monkeypatch.setattr(ruler, "read_gpu_state", lambda uuid: after)
    said = watch.look(lambda: None)
    assert (said is None) if words is None else (words in str(said))


def test_without_a_gpu_there_is_nothing_to_object_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ruler, "find_gpu", lambda: None)
    assert GpuWatch.start().look(lambda: None) is None


class Benchmark:
    """What is used of pytest-benchmark."""

    disabled = False

    def __init__(self) -> None:
        self.extra_info: dict[str, Any] = {}
        self.stats: Any = None

    def pedantic(
        self, target: Any, *, setup: Any, teardown: Any, rounds: int, iterations: int, warmup_rounds: int
    ) -> None:
        import time

        seconds = []
        for _ in range(warmup_rounds + rounds):
            setup()
            started = time.perf_counter()
            target()
            seconds.append(time.perf_counter() - started)
            teardown()
        data = seconds[warmup_rounds:]
        self.stats = SimpleNamespace(
            options={"timer": time.perf_counter}, stats=SimpleNamespace(data=data), update=data.append
        )


def measured(*, device_undecided: bool = False) -> speedometer.Measured:
    import time

    def call(ms: float) -> Any:
        def run() -> float:
            time.sleep(ms / 1e4)
            return ms

        return run

    slow, fast = call(4.0), call(3.0)
    return measure_speed(
        Benchmark(),
        Calls(reference=slow, candidate=fast, synchronize=lambda: None, device_reference=slow, device_candidate=fast),
        plan=RoundPlan(pilot_rounds=5, minimum=5, maximum=6, budget_seconds=30.0),
        undecided=lambda samples: False,
        device_undecided=lambda rounds: device_undecided,
        progress=lambda done, total: None,
    )


def test_one_measurement_carries_both_rulers_and_goes_through_a_baseline_unchanged(
    device: type[Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ruler, "gpus_of_host", lambda: frozenset({"GPU-1", "GPU-2"}))
    seen = measured()
    assert seen.device is not None
    assert len(seen.device.rounds.samples.seconds) == DEVICE_ROUNDS
    assert (seen.disturbance, seen.no_device, seen.recompiles) == ("", "", 0)
    assert "s of calls in" in seen.cost
    section = section_of(seen, first_call_seconds=12.0, cache_misses=3)
    assert section.costs is not None
    assert (section.costs.graph_launches, section.costs.kernel_launches) == (57, 12)
    assert (section.costs.first_call_seconds, section.costs.cache_misses) == (12.0, 3)
    back = record_of(section)
    assert back.wall == seen.timings.samples
    assert back.device is not None
    assert back.device.samples == seen.device.rounds.samples
    assert back.device.gpus == {"GPU-1", "GPU-2"}
    assert back.graph_launches == 57


def test_an_undecided_device_ruler_gets_all_its_rounds(device: type[Clock]) -> None:
    seen = measured(device_undecided=True)
    assert seen.device is not None
    assert len(seen.device.rounds.samples.seconds) == MOST_DEVICE_ROUNDS


def test_a_profiler_that_does_not_tell_leaves_the_reason(device: type[Clock], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NoDeviceTime("CUPTI is held by another profiler")

    monkeypatch.setattr(speedometer, "device_rounds", refuse)
    seen = measured()
    assert (seen.device, seen.no_device) == (None, "CUPTI is held by another profiler")
    assert section_of(seen, first_call_seconds=None, cache_misses=None).device is None
    assert isinstance(seen.timings.samples, SpeedSamples)
