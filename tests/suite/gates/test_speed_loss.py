"""Which kind of speed was lost: kernels, overhead, graphs, recompiles, bf16 itself; and the kernels that changed."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.catalog.schema import Limit
from fixtures.gates.base import Missing
from fixtures.gates.speed.judge import (
    DEVICE_ALIKE,
    DEVICE_ALIKE_ELSEWHERE,
    DEVICE_CHANGE,
    judge_device,
    judge_speed,
    retuned,
    without_retuned,
)
from fixtures.gates.speed.loss import changed_kernels, kinds_of_loss
from fixtures.gates.speed.result import Costs, DeviceRounds, Kernels, Pairs, SpeedResult
from fixtures.gates.verdict import Cause, Check, Verdict

KERNELS: Kernels = {"nvjet_gemm": [12.0, 60.0], "flash_fprop": [2.0, 20.0], "triton_red_norm": [57.0, 10.0]}
BF16_KERNELS: Kernels = {"nvjet_bf16": [12.0, 100.0], "flash_fprop": [2.0, 20.0]}


def pairs(reference_ms: float, ms: float) -> Pairs:
    ripple = [1 + 0.0005 * (turn % 3) for turn in range(20)]
    return Pairs(
        reference_seconds=[reference_ms / 1e3 * part for part in ripple], seconds=[ms / 1e3 * part for part in ripple]
    )


def on_device(
    reference_ms: float, ms: float, *, kernels: Kernels = KERNELS, reference_kernels: Kernels = BF16_KERNELS
) -> DeviceRounds:
    seconds = pairs(reference_ms, ms).model_dump()
    return DeviceRounds(**seconds, kernels=kernels, reference_kernels=reference_kernels)


def night(
    *, wall: tuple[float, float] = (130.0, 100.0), device: DeviceRounds | None = None, **more: Any
) -> SpeedResult:
    """A night without device seconds unless some are given; baselines are told in the same words."""
    return SpeedResult(format="fp8", arithmetic="native", wall=pairs(*wall), device=device, **more)


def record(
    *, wall: tuple[float, float] = (130.0, 100.0), device: tuple[float, float] = (120.0, 90.0), graphs: int = 57
) -> SpeedResult:
    return night(wall=wall, device=on_device(*device), costs=Costs(graph_launches=graphs))


THEN = record()


def but(**changes: Any) -> SpeedResult:
    """That night with these changes."""
    return THEN.model_copy(update=changes)


def kinds(now: SpeedResult, then: SpeedResult | None = THEN) -> list[str]:
    return [text.partition(":")[0] for text in kinds_of_loss(now, then)]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (THEN, []),
        (record(wall=(130, 105), device=(120, 95)), ["kernels"]),
        (record(wall=(130, 106)), ["overhead"]),
        (record(wall=(130, 112), device=(120, 94)), ["overhead", "kernels"]),
        (record(wall=(130, 104.9), device=(120, 90.9)), ["overhead"]),  # a fifth of the loss is not worth a name
        (record(wall=(142, 100), device=(132, 90)), ["bf16 itself"]),
        (record(graphs=0, wall=(130, 120)), ["graphs", "overhead"]),
        (but(recompiles=3), ["recompiles"]),
    ],
)
def test_each_kind_of_loss_is_told_from_the_others(now: SpeedResult, expected: list[str]) -> None:
    assert kinds(now) == expected


def test_the_sentences_carry_milliseconds_before_and_after() -> None:
    said = kinds_of_loss(record(wall=(130, 115), device=(120, 95), graphs=3), THEN)
    assert "graphs: 3 CUDA graph replays a call instead of 57" in said
    assert any("kernels: fp8 computes 95" in text and "instead of 90" in text for text in said)
    assert any(text.startswith("overhead: the device waits 20 ms instead of 10") for text in said)


def test_without_device_seconds_kernels_and_overhead_cannot_be_told_apart() -> None:
    (said,) = kinds_of_loss(night(wall=(130, 110)), night(wall=(130, 100)))
    assert "device seconds would tell kernels from overhead" in said


def test_a_faster_bf16_is_named_because_it_lowers_the_speedup() -> None:
    (said,) = kinds_of_loss(record(wall=(120, 100), device=(110, 90)), THEN)
    assert said.startswith("bf16 itself: 8.3% faster, it computes 110")


def test_recompiles_need_no_baseline() -> None:
    assert kinds(but(recompiles=1), None) == ["recompiles"]
    assert kinds(THEN, None) == []


def test_the_kernels_that_changed_most_come_first_with_calls_and_milliseconds() -> None:
    slower = {**KERNELS, "nvjet_gemm": [12.0, 66.0], "triton_red_norm": [76.0, 12.0], "new_kernel": [3.0, 0.9]}
    del slower["flash_fprop"]
    now = but(device=on_device(120, 90, kernels=slower))
    changes = changed_kernels(now, THEN)
    assert [change.name for change in changes] == ["flash_fprop", "nvjet_gemm", "triton_red_norm", "new_kernel"]
    assert [round(change.ms, 3) for change in changes] == [-20.0, 6.0, 2.0, 0.9]
    assert str(changes[1]) == "nvjet_gemm (fp8): 12 -> 12 launches, 60.000 -> 66.000 ms"
    assert (changes[3].launches_before, changes[3].launches_after) == (0.0, 3.0)
    assert changed_kernels(now, THEN, most=1) == changes[:1]
    assert changed_kernels(THEN, THEN) == []


# ---- the device's own clock ----------------------------------------------------------------------------------------


def limit(quantity: str, floor: float) -> Limit:
    return Limit(gate="speed", quantity=quantity, unit="x", source="this test", floor=floor)


def rounds(ms: float, *, norm: float = 10.0, launches: float = 57.0) -> DeviceRounds:
    return on_device(120, ms + norm - 10.0, kernels={**KERNELS, "triton_red_norm": [launches, norm]})


def of_gpus(found: DeviceRounds, gpus: list[str]) -> DeviceRounds:
    return found.model_copy(update={"gpus": gpus})


def judged(now: DeviceRounds, *, quantity: str = DEVICE_ALIKE, floor: float = 0.994) -> Check:
    (check,) = judge_device(now, [limit(quantity, floor)], night(device=rounds(90.0)))
    return check


@pytest.mark.parametrize(
    ("now", "quantity", "floor", "verdict"),
    [
        (rounds(90.0), DEVICE_ALIKE, 0.994, Verdict.PASS),
        (rounds(90.9), DEVICE_ALIKE, 0.994, Verdict.FAIL),
        # The autotuner chose another configuration: 0.7 ms more in one kernel, as often launched.
        (rounds(90.0, norm=10.7), DEVICE_ALIKE, 0.994, Verdict.PASS),
        (rounds(90.0, norm=10.7), DEVICE_CHANGE, 0.98, Verdict.PASS),
        # Too much to be a configuration, whatever it is called.
        (rounds(90.0, norm=14.0), DEVICE_CHANGE, 0.98, Verdict.FAIL),
        # Launched more often: that is no configuration.
        (rounds(90.0, norm=10.7, launches=58.0), DEVICE_ALIKE, 0.994, Verdict.FAIL),
        (rounds(90.9, norm=10.7), DEVICE_ALIKE, 0.994, Verdict.FAIL),
    ],
)
def test_retuned_kernels_are_set_aside_and_bounded(
    now: DeviceRounds, quantity: str, floor: float, verdict: Verdict
) -> None:
    assert judged(now, quantity=quantity, floor=floor).verdict is verdict


HERE, THERE = ["GPU-1", "GPU-2"], ["GPU-9"]


@pytest.mark.parametrize(
    ("now", "then", "judged_by"),
    [
        (HERE, ["GPU-2"], DEVICE_ALIKE),
        (HERE, THERE, DEVICE_ALIKE_ELSEWHERE),
        # A baseline that does not say where it was recorded may come from anywhere.
        (HERE, [], DEVICE_ALIKE_ELSEWHERE),
        ([], THERE, DEVICE_ALIKE),
    ],
)
def test_another_hosts_baseline_has_a_floor_of_its_own(now: list[str], then: list[str], judged_by: str) -> None:
    limits = [limit(DEVICE_ALIKE, 0.9955), limit(DEVICE_ALIKE_ELSEWHERE, 0.985)]
    tonight = night(device=of_gpus(rounds(90.72), now))  # 0.8 % slower
    baseline = night(device=of_gpus(rounds(90.0), then))
    assert tonight.device is not None
    (check,) = judge_device(tonight.device, limits, baseline)
    assert check.name == judged_by
    assert check.verdict is (Verdict.FAIL if judged_by == DEVICE_ALIKE else Verdict.PASS)
    assert judge_speed(tonight, limits, baseline) == [check]


def test_without_device_seconds_in_the_baseline_one_narrow_check_says_why() -> None:
    limits = [limit(DEVICE_ALIKE, 0.9955), limit(DEVICE_ALIKE_ELSEWHERE, 0.985)]
    (check,) = judge_device(of_gpus(rounds(90.0), HERE), limits, night())
    assert (check.name, check.verdict) == (DEVICE_ALIKE, Verdict.FAIL)
    assert "no seconds on the device's own clock; record it again" in check.note


def test_the_note_names_what_was_set_aside() -> None:
    assert "retuned: triton_red_norm" in judged(rounds(90.0, norm=10.7)).note
    assert "retuned" not in judged(rounds(90.0)).note


def test_only_inductors_own_kernels_at_equal_launches_are_retuned() -> None:
    now = {
        "triton_a": [2.0, 1.2],
        "triton_b": [3.0, 1.2],
        "triton_c": [2.0, 1.01],
        "gemm": [2.0, 2.0],
        "triton_new": [1.0, 1.0],
    }
    then = {"triton_a": [2.0, 1.0], "triton_b": [2.0, 1.0], "triton_c": [2.0, 1.0], "gemm": [2.0, 1.0]}
    assert retuned(now, then) == {"triton_a": pytest.approx(0.2)}


def with_shared_kernel(fp8_ms: float, bf16_ms: float) -> DeviceRounds:
    """A night in which both run the same kernel of inductor's, in the configurations that its tuner chose."""
    return on_device(
        500.0 + bf16_ms,
        345.0 + fp8_ms,
        kernels={**KERNELS, "triton_red_rope": [38.0, fp8_ms]},
        reference_kernels={**BF16_KERNELS, "triton_red_rope": [38.0, bf16_ms]},
    )


@pytest.mark.parametrize(
    ("fp8_ms", "bf16_ms", "verdict"),
    [
        (14.4, 18.5, Verdict.PASS),
        # Seen on an H200: each side got what the other had, 2 % of the speedup.
        (18.65, 14.9, Verdict.PASS),
        (18.65, 18.5, Verdict.PASS),
        # A time that neither side ever had is no known configuration.
        (24.0, 14.9, Verdict.FAIL),
    ],
)
def test_configurations_that_the_sides_swapped_are_no_loss(fp8_ms: float, bf16_ms: float, verdict: Verdict) -> None:
    before = night(device=with_shared_kernel(14.4, 18.5))
    (check,) = judge_device(with_shared_kernel(fp8_ms, bf16_ms), [limit(DEVICE_CHANGE, 0.975)], before)
    assert check.verdict is verdict
    swapped = (fp8_ms, bf16_ms) != (14.4, 18.5)
    assert ("swapped configurations with the other side: triton_red_rope" in check.note) is swapped


def test_what_was_set_aside_is_taken_from_every_round() -> None:
    now = rounds(90.0, norm=10.7)
    aside, names = without_retuned(now, rounds(90.0))
    assert names == ["triton_red_norm"]
    assert [a - b for a, b in zip(now.seconds, aside.seconds, strict=True)] == pytest.approx([0.7e-3] * 20)
    assert aside.reference_seconds == now.reference_seconds


def test_a_refused_baseline_skips_and_a_missing_measurement_is_an_error() -> None:
    limits = [limit(DEVICE_CHANGE, 0.98)]
    (absent,) = judge_speed(night(no_device="CUPTI is held"), limits, THEN)
    assert (absent.verdict, absent.note) == (Verdict.ERROR, "CUPTI is held")
    refused = Missing(reason="recorded elsewhere", cause=Cause.NO_BASELINE, entitled=True)
    (skipped,) = judge_device(rounds(90.0), limits, refused)
    assert skipped.verdict is Verdict.SKIP
