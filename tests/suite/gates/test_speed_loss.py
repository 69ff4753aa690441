"""Which kind of speed was lost: kernels, overhead, graphs, recompiles, bf16 itself; and the kernels that changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fixtures.catalog.schema import Limit
from fixtures.gates.speed.device import (
    DEVICE_ALIKE,
    DEVICE_ALIKE_ELSEWHERE,
    DEVICE_CHANGE,
    NO_DEVICE_BASELINE,
    DeviceRounds,
    judge_device,
    retuned,
    without_retuned,
)
from fixtures.gates.speed.loss import SpeedRecord, changed_kernels, kinds_of_loss
from fixtures.gates.speed.samples import SpeedSamples
from fixtures.gates.speed.speed import judge_speed
from fixtures.gates.usable import Refusal
from fixtures.gates.verdict import Check, Verdict

KERNELS = {"nvjet_gemm": (12.0, 60.0), "flash_fprop": (2.0, 20.0), "triton_red_norm": (57.0, 10.0)}
BF16_KERNELS = {"nvjet_bf16": (12.0, 100.0), "flash_fprop": (2.0, 20.0)}


def samples(reference_ms: float, ms: float) -> SpeedSamples:
    ripple = [1 + 0.0005 * (turn % 3) for turn in range(20)]
    return SpeedSamples(
        reference_seconds=tuple(reference_ms / 1e3 * part for part in ripple),
        seconds=tuple(ms / 1e3 * part for part in ripple),
    )


def record(
    *, wall: tuple[float, float] = (130.0, 100.0), device: tuple[float, float] = (120.0, 90.0), graphs: int = 57
) -> SpeedRecord:
    rounds = DeviceRounds(samples=samples(*device), kernels=KERNELS, reference_kernels=BF16_KERNELS)
    return SpeedRecord(wall=samples(*wall), device=rounds, graph_launches=graphs)


THEN = record()


def kinds(now: SpeedRecord, then: SpeedRecord | None = THEN) -> list[str]:
    return [text.partition(":")[0] for text in kinds_of_loss(now, then, format="fp8")]


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
        (replace(THEN, recompiles=3), ["recompiles"]),
    ],
)
def test_each_kind_of_loss_is_told_from_the_others(now: SpeedRecord, expected: list[str]) -> None:
    assert kinds(now) == expected


def test_the_sentences_carry_milliseconds_before_and_after() -> None:
    said = kinds_of_loss(record(wall=(130, 115), device=(120, 95), graphs=3), THEN, format="fp8")
    assert "graphs: 3 CUDA graph replays a call instead of 57" in said
    assert any("kernels: fp8 computes 95" in text and "instead of 90" in text for text in said)
    assert any(text.startswith("overhead: the device waits 20 ms instead of 10") for text in said)


def test_without_device_seconds_kernels_and_overhead_cannot_be_told_apart() -> None:
    now = SpeedRecord(wall=samples(130, 110))
    (said,) = kinds_of_loss(now, SpeedRecord(wall=samples(130, 100)), format="fp8")
    assert "device seconds would tell kernels from overhead" in said


def test_a_faster_bf16_is_named_because_it_lowers_the_speedup() -> None:
    (said,) = kinds_of_loss(record(wall=(120, 100), device=(110, 90)), THEN, format="fp8")
    assert said.startswith("bf16 itself: 8.3% faster, it computes 110")


def test_recompiles_need_no_baseline() -> None:
    assert kinds(replace(THEN, recompiles=1), None) == ["recompiles"]
    assert kinds(THEN, None) == []


def test_the_kernels_that_changed_most_come_first_with_calls_and_milliseconds() -> None:
    slower = {**KERNELS, "nvjet_gemm": (12.0, 66.0), "triton_red_norm": (76.0, 12.0), "new_kernel": (3.0, 0.9)}
    del slower["flash_fprop"]
    assert THEN.device is not None
    now = replace(THEN, device=replace(THEN.device, kernels=slower))
    changes = changed_kernels(now, THEN, format="fp8")
    assert [change.name for change in changes] == ["flash_fprop", "nvjet_gemm", "triton_red_norm", "new_kernel"]
    assert [round(change.ms, 3) for change in changes] == [-20.0, 6.0, 2.0, 0.9]
    assert str(changes[1]) == "nvjet_gemm (fp8): 12 -> 12 launches, 60.000 -> 66.000 ms"
    assert (changes[3].launches_before, changes[3].launches_after) == (0.0, 3.0)
    assert changed_kernels(now, THEN, format="fp8", most=1) == changes[:1]
    assert changed_kernels(THEN, THEN, format="fp8") == []


# --- the device's own ruler


def limit(quantity: str, floor: float) -> Limit:
    return Limit(gate="speed", quantity=quantity, unit="x", source="this test", floor=floor)


def rounds(ms: float, *, norm: float = 10.0, launches: float = 57.0) -> DeviceRounds:
    kernels = {**KERNELS, "triton_red_norm": (launches, norm)}
    return DeviceRounds(samples=samples(120, ms + norm - 10.0), kernels=kernels, reference_kernels=BF16_KERNELS)


def judged(now: DeviceRounds, *, quantity: str = DEVICE_ALIKE, floor: float = 0.994) -> Check:
    (check,) = judge_device(device=now, limits=[limit(quantity, floor)], baseline=rounds(90.0))
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


HERE, THERE = frozenset({"GPU-1", "GPU-2"}), frozenset({"GPU-9"})


@pytest.mark.parametrize(
    ("now", "then", "judged_by"),
    [
        (HERE, frozenset({"GPU-2"}), DEVICE_ALIKE),
        (HERE, THERE, DEVICE_ALIKE_ELSEWHERE),
        # A baseline that does not say where it was recorded may come from anywhere.
        (HERE, frozenset(), DEVICE_ALIKE_ELSEWHERE),
        (frozenset(), THERE, DEVICE_ALIKE),
    ],
)
def test_another_hosts_baseline_has_a_floor_of_its_own(
    now: frozenset[str], then: frozenset[str], judged_by: str
) -> None:
    limits = [limit(DEVICE_ALIKE, 0.9955), limit(DEVICE_ALIKE_ELSEWHERE, 0.985)]
    tonight, baseline = replace(rounds(90.72), gpus=now), replace(rounds(90.0), gpus=then)  # 0.8 % slower
    (check,) = judge_device(device=tonight, limits=limits, baseline=baseline)
    assert check.name == judged_by
    assert check.verdict is (Verdict.FAIL if judged_by == DEVICE_ALIKE else Verdict.PASS)
    (again,) = judge_speed(
        samples=tonight.samples,
        limits=limits,
        baseline=baseline.samples,
        format="fp8",
        arithmetic="native",
        device=tonight,
        device_baseline=baseline,
    )
    assert (again.name, again.verdict) == (check.name, check.verdict)


def test_without_a_baseline_one_narrow_check_says_why() -> None:
    limits = [limit(DEVICE_ALIKE, 0.9955), limit(DEVICE_ALIKE_ELSEWHERE, 0.985)]
    (check,) = judge_device(device=replace(rounds(90.0), gpus=HERE), limits=limits, baseline=NO_DEVICE_BASELINE)
    assert (check.name, check.verdict) == (DEVICE_ALIKE, Verdict.FAIL)


def test_the_note_names_what_was_set_aside() -> None:
    assert "retuned: triton_red_norm" in judged(rounds(90.0, norm=10.7)).note
    assert "retuned" not in judged(rounds(90.0)).note


def test_only_inductors_own_kernels_at_equal_launches_are_retuned() -> None:
    now = {
        "triton_a": (2.0, 1.2),
        "triton_b": (3.0, 1.2),
        "triton_c": (2.0, 1.01),
        "gemm": (2.0, 2.0),
        "triton_new": (1.0, 1.0),
    }
    then = {"triton_a": (2.0, 1.0), "triton_b": (2.0, 1.0), "triton_c": (2.0, 1.0), "gemm": (2.0, 1.0)}
    assert retuned(now, then) == {"triton_a": pytest.approx(0.2)}


def with_shared_kernel(fp8_ms: float, bf16_ms: float) -> DeviceRounds:
    """A night in which both sides run the same kernel of inductor's, in the configurations that its tuner chose."""
    return DeviceRounds(
        samples=samples(500.0 + bf16_ms, 345.0 + fp8_ms),
        kernels={**KERNELS, "triton_red_rope": (38.0, fp8_ms)},
        reference_kernels={**BF16_KERNELS, "triton_red_rope": (38.0, bf16_ms)},
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
    (check,) = judge_device(
        device=with_shared_kernel(fp8_ms, bf16_ms),
        limits=[limit(DEVICE_CHANGE, 0.975)],
        baseline=with_shared_kernel(14.4, 18.5),
    )
    assert check.verdict is verdict
    swapped = (fp8_ms, bf16_ms) != (14.4, 18.5)
    assert ("swapped configurations with the other side: triton_red_rope" in check.note) is swapped


def test_what_was_set_aside_is_taken_from_every_round() -> None:
    now = rounds(90.0, norm=10.7)
    aside, names = without_retuned(now, rounds(90.0))
    assert names == ["triton_red_norm"]
    assert [a - b for a, b in zip(now.samples.seconds, aside.samples.seconds, strict=True)] == pytest.approx(
        [0.7e-3] * 20
    )
    assert aside.samples.reference_seconds == now.samples.reference_seconds


def test_a_baseline_without_device_seconds_fails_and_a_missing_measurement_is_an_error() -> None:
    from fixtures.gates.speed.speed import judge_speed

    limits = [limit(DEVICE_CHANGE, 0.98)]
    common = {"samples": samples(120, 90), "limits": limits, "baseline": samples(120, 90), "format": "fp8"}
    (missing,) = judge_speed(**common, arithmetic="native", device=rounds(90.0))  # type: ignore[arg-type]
    assert missing.verdict is Verdict.FAIL
    assert "no seconds on the device's own clock; record it again" in missing.note
    (absent,) = judge_speed(**common, arithmetic="native", no_device="CUPTI is held")  # type: ignore[arg-type]
    assert (absent.verdict, absent.note) == (Verdict.ERROR, "CUPTI is held")
    refusal = Refusal(section="speed", reason="recorded elsewhere", entitled=True)
    (skipped,) = judge_device(device=rounds(90.0), limits=limits, baseline=refusal)
    assert skipped.verdict is Verdict.SKIP
