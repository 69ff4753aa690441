"""Seconds on the device's own clock from recorded kernels, and what else is asked of a GPU, on a stand-in for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fixtures.gates.speed import device
from fixtures.gates.speed.device import (
    CudaDevice,
    DeviceCall,
    DeviceWatch,
    Kernel,
    NoDeviceTime,
    busy_seconds,
    by_name,
    count_launches,
    device_rounds,
    device_work,
    joules_per_call,
    split,
)
from fixtures.gates.speed.gate import DEVICE_ROUNDS, MOST_DEVICE_ROUNDS, TimedCalls, time_calls
from fixtures.gates.speed.operators import dispatched_operators
from fixtures.gates.speed.result import Costs, DeviceRounds, SpeedKept, SpeedResult, kept
from fixtures.gates.speed.rounds import RoundPlan
from fixtures.machine.disturbance import GpuState
from tests.suite.speed_timer import FakeTimer

MARK = "void at::native::vectorized_elementwise_kernel<4, at::native::nextafter_kernel_cuda(at::TensorIteratorBase&)"
CALM = GpuState(sm_clock_mhz=1980, sm_clock_max_mhz=1980, power_limit_w=700, power_limit_default_w=700)


def kernel(name: str, start: int, end: int) -> Kernel:
    return Kernel(name=name, start_ns=start, end_ns=end)


# ---- kernels -------------------------------------------------------------------------------------------------------


def test_overlapping_kernels_count_once() -> None:
    assert busy_seconds([kernel("a", 0, 10), kernel("b", 5, 20), kernel("c", 30, 40)]) == pytest.approx(30e-9)
    assert busy_seconds([kernel("a", 0, 100), kernel("inside", 10, 20)]) == pytest.approx(100e-9)
    assert busy_seconds([]) == 0


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 50)), max_size=30), st.randoms())
def test_the_union_does_not_depend_on_order_and_counts_every_nanosecond_once(
    spans: list[tuple[int, int]], chance: Any
) -> None:
    kernels = [kernel("k", start, start + length) for start, length in spans]
    covered = {tick for start, length in spans for tick in range(start, start + length)}
    chance.shuffle(kernels)
    assert busy_seconds(kernels) == pytest.approx(len(covered) / 1e9)


def test_markers_tell_calls_apart_whatever_came_before_the_first() -> None:
    seen = [kernel("before", 0, 1), kernel(MARK, 2, 3), kernel("a", 4, 5), kernel(MARK, 9, 10), kernel("b", 11, 12)]
    parts = split(reversed(seen), 2)
    assert [[one.name for one in part] for part in parts] == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("seen", "calls", "said"),
    [
        ([kernel("a", 0, 1)], 1, "0 of 1 markers"),
        ([kernel(MARK, 0, 1), kernel("a", 2, 3)], 2, "1 of 2 markers"),
        ([kernel(MARK, 0, 1), kernel(MARK, 2, 3), kernel("a", 4, 5)], 2, "a call without any kernel"),
    ],
)
def test_a_profile_that_misses_something_gives_no_seconds(seen: list[Kernel], calls: int, said: str) -> None:
    with pytest.raises(NoDeviceTime, match=said):
        split(seen, calls)


def test_sums_by_name_are_means_over_the_calls() -> None:
    calls = [
        DeviceCall(wall_seconds=1, kernels=(kernel("gemm", 0, 1_000_000), kernel("gemm", 2_000_000, 3_000_000))),
        DeviceCall(wall_seconds=1, kernels=(kernel("gemm", 0, 4_000_000), kernel("copy", 5_000_000, 5_500_000))),
    ]
    assert by_name(calls) == {"gemm": [1.5, 3.0], "copy": [0.5, 0.25]}
    assert calls[0].device_seconds == pytest.approx(2e-3)


def profiler(*events: tuple[str, str | None]) -> Any:
    """A finished torch.profiler that saw these (name, activity) on the device; older torch tells no activity."""

    def event(name: str, activity: str | None) -> Any:
        kinds = torch._C._autograd.DeviceType
        fields: dict[str, Any] = {
            "name": lambda: name,
            "device_type": lambda: kinds.CPU if activity == "cpu_op" else kinds.CUDA,
            "start_ns": lambda: 5,
            "duration_ns": lambda: 7,
        }
        return SimpleNamespace(**fields, **({} if activity is None else {"activity_type": lambda: activity}))

    results = SimpleNamespace(events=lambda: [event(*one) for one in events])
    return SimpleNamespace(profiler=SimpleNamespace(kineto_results=results))


def test_only_what_occupies_the_device_counts() -> None:
    others = (("Stream Sync", "cuda_sync"), ("## Call", "gpu_user_annotation"), ("aten::mm", "cpu_op"))
    seen = device_work(profiler(("gemm", "kernel"), ("Memset", "gpu_memset"), *others))
    assert seen == [kernel("gemm", 5, 12), kernel("Memset", 5, 12)]
    older = profiler(("gemm", None), ("Context Sync", None), ("## Call CompiledFxGraph", None))
    assert [one.name for one in device_work(older)] == ["gemm"]


def test_launches_are_counted_from_the_runtimes_and_the_drivers_events() -> None:
    names = ["cudaGraphLaunch", "cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernelEx", "cudaMemcpyAsync"]
    assert count_launches([*names, "gemm"]) == (1, 3)


# ---- a GPU that is none --------------------------------------------------------------------------------------------


class Session:
    """Stands in for a profiler session: a call computes as many milliseconds as it returns."""

    def __init__(self) -> None:
        self.calls: list[DeviceCall] = []

    def __enter__(self) -> Session:
        return self

    def time(self, call: Any) -> None:
        ms = call()
        self.calls.append(DeviceCall(wall_seconds=ms / 1e3, kernels=(kernel("gemm", 0, int(ms * 1e6)),)))

    def __exit__(self, *_: object) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class FakeGpu(CudaDevice):
    """Two GPUs in a host, of which this is the first."""

    uuid: str = "GPU-1"
    after: GpuState = CALM
    sessions: list[Session] = field(default_factory=list)
    counter: Iterator[float | None] = field(default_factory=lambda: iter(()))
    deaf: bool = False

    def clock(self) -> Any:
        if self.deaf:
            raise NoDeviceTime("CUPTI is held by another profiler")
        self.sessions.append(Session())
        return self.sessions[-1]

    def synchronize(self) -> None:
        return None

    def state(self) -> GpuState:
        return self.after

    def joules(self) -> float | None:
        return next(self.counter, None)

    def gpus_of_host(self) -> list[str]:
        return ["GPU-1", "GPU-2"]

    def runtime_events(self, call: object) -> list[str]:
        return ["cudaGraphLaunch"] * 57 + ["cudaLaunchKernel"] * 12


def bf16() -> float:
    return 4.0


def fp8() -> float:
    return 3.0


def test_device_rounds_alternate_and_take_a_second_look_once() -> None:
    asked: list[int] = []

    def more(rounds: DeviceRounds) -> int:
        asked.append(len(rounds.seconds))
        return 10

    rounds, _ = device_rounds(FakeGpu(), bf16, fp8, rounds=12, pair_seconds=0.01, budget_seconds=60, more=more)
    assert asked == [12]
    assert (rounds.seconds, rounds.reference_seconds) == ([3e-3] * 22, [4e-3] * 22)
    assert rounds.kernels["gemm"] == pytest.approx([1.0, 3.0])
    assert rounds.reference_kernels["gemm"] == pytest.approx([1.0, 4.0])


def test_device_rounds_stop_where_the_budget_ends_with_one_session_at_least() -> None:
    gpu = FakeGpu()
    rounds, _ = device_rounds(gpu, bf16, fp8, rounds=40, pair_seconds=9.0, budget_seconds=0.0)
    assert (len(gpu.sessions), len(rounds.seconds)) == (1, device.SHORTEST)


def test_energy_of_a_call_is_the_counters_change_over_the_calls() -> None:
    calls: list[int] = []
    gpu = FakeGpu(counter=iter([100.0, 250.0]))
    assert joules_per_call(gpu, lambda: calls.append(1), seconds=0.01) == pytest.approx(150.0 / len(calls))


@pytest.mark.parametrize("counter", [[None], [5.0, None], [5.0, 5.0]])
def test_a_counter_that_does_not_tell_gives_no_energy(counter: list[float | None]) -> None:
    assert joules_per_call(FakeGpu(counter=iter(counter)), lambda: None, seconds=0.0) is None


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (CALM, ""),
        (GpuState(other_processes=(17,)), "another process computes on this GPU (pid 17)"),
        (GpuState(throttle_reasons=frozenset({"thermal (software)"}), temperature_c=92), "throttles at 92 C"),
        (GpuState(sm_clock_mhz=345, sm_clock_max_mhz=1980), "the SM clock is held at 345 of 1980 MHz"),
    ],
)
def test_the_gpu_is_looked_at_before_and_while_still_warm(after: GpuState, words: str) -> None:
    said = DeviceWatch(FakeGpu(after=after)).disturbance(lambda: None)
    assert words in said if words else not said


def test_without_a_gpu_there_is_nothing_to_object_to() -> None:
    watch = DeviceWatch(None)
    assert (watch.disturbance(lambda: None), watch.recompiles()) == ("", 0)


# ---- wall and device together --------------------------------------------------------------------------------------


def timed(gpu: FakeGpu | None = None, *, device_undecided: bool = False) -> SpeedResult:
    timer = FakeTimer()
    slow, fast = timer.taking(4e-3, returning=4.0), timer.taking(3e-3, returning=3.0)
    return time_calls(
        timer,
        TimedCalls(wall=(slow, fast), device=(slow, fast), synchronize=lambda: None),
        SpeedResult(format="fp8", arithmetic="native"),
        plan=RoundPlan(pilot_rounds=5, minimum=5, maximum=6, budget_seconds=30.0),
        gpu=gpu or FakeGpu(),
        undecided=lambda pairs: False,
        device_undecided=lambda rounds: device_undecided,
        progress=lambda done, total: None,
    )


def test_one_measurement_carries_wall_and_device_and_goes_through_a_baseline_unchanged() -> None:
    seen = timed()
    assert seen.device is not None
    assert len(seen.device.seconds) == DEVICE_ROUNDS
    assert (seen.disturbance, seen.recompiles) == ("", 0)
    assert "s of calls in" in seen.cost
    assert seen.costs == Costs(graph_launches=57, kernel_launches=12)
    section = kept(seen)
    assert section is not None
    back = SpeedKept.model_validate_json(section.model_dump_json(exclude_none=True))
    assert (back.wall, back.costs) == (seen.wall, seen.costs)
    assert back.device is not None
    assert DeviceRounds(**back.device.model_dump()) == seen.device
    assert back.device.gpus == ["GPU-1", "GPU-2"]
    assert SpeedResult.model_validate_json(seen.model_dump_json()) == seen


@pytest.mark.parametrize("compiled", [False, True])
def test_operators_of_a_call_are_counted_and_equally_often(compiled: bool) -> None:
    layer, data = torch.nn.Linear(4, 4), torch.ones(2, 4)

    def call() -> None:
        with torch.inference_mode():
            layer(data)

    first, *others = (dispatched_operators(call, compiled=compiled) for _ in range(3))
    assert others == [first, first]
    assert (first or 0) >= 1
    assert dispatched_operators(lambda: None, compiled=compiled) is None


def test_undecided_device_seconds_get_all_their_rounds() -> None:
    seen = timed(device_undecided=True)
    assert seen.device is not None
    assert len(seen.device.seconds) == MOST_DEVICE_ROUNDS


def test_a_profiler_that_does_not_tell_leaves_the_reason() -> None:
    seen = timed(FakeGpu(deaf=True))
    assert (seen.device, seen.costs, seen.no_device) == (None, Costs(), "CUPTI is held by another profiler")
    section = kept(seen)
    assert section is not None
    assert section.device is None
