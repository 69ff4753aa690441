"""Device seconds from recorded kernels: overlaps, markers between calls, sums by name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fixtures.gates.speed.device_time import DeviceCall, Kernel, NoDeviceTime, busy_seconds, by_name, device_work, split

MARK = "void at::native::vectorized_elementwise_kernel<4, at::native::nextafter_kernel_cuda(at::TensorIteratorBase&)"


def kernel(name: str, start: int, end: int) -> Kernel:
    return Kernel(name=name, start_ns=start, end_ns=end)


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
    assert by_name(calls) == {"gemm": (1.5, 3.0), "copy": (0.5, 0.25)}
    assert calls[0].device_seconds == pytest.approx(2e-3)


def event(name: str, activity: str | None, *, cuda: bool = True) -> Any:
    kinds = torch._C._autograd.DeviceType
    fields: dict[str, Any] = {
        "name": lambda: name,
        "device_type": lambda: kinds.CUDA if cuda else kinds.CPU,
        "start_ns": lambda: 5,
        "duration_ns": lambda: 7,
    }
    if activity is not None:
        fields["activity_type"] = lambda: activity
    return SimpleNamespace(**fields)


def profiler(*events: Any) -> Any:
    return SimpleNamespace(profiler=SimpleNamespace(kineto_results=SimpleNamespace(events=lambda: list(events))))


def test_only_what_occupies_the_device_counts() -> None:
    seen = profiler(
        event("gemm", "kernel"),
        event("Memset", "gpu_memset"),
        event("Stream Sync", "cuda_sync"),
        event("## Call", "gpu_user_annotation"),
        event("aten::mm", "cpu_op", cuda=False),
    )
    assert [one.name for one in device_work(seen)] == ["gemm", "Memset"]
    assert device_work(seen)[0] == Kernel(name="gemm", start_ns=5, end_ns=12)


def test_older_torch_does_not_tell_the_activity() -> None:
    seen = profiler(event("gemm", None), event("Context Sync", None), event("## Call CompiledFxGraph", None))
    assert [one.name for one in device_work(seen)] == ["gemm"]
