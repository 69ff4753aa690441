"""The oracle's bytes are those that torchao's tensors hold, and those that the published table saved; what was saved,
left behind and held at the peak is judged by it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from fixtures.catalog import FORMATS, models
from fixtures.catalog.limits import Limits
from fixtures.catalog.schema import Format, Limit, Model
from fixtures.gates.base import conclude
from fixtures.gates.memory import GATE
from fixtures.gates.memory.bytes import (
    PEAK_NEEDS_CUDA,
    expected_saved_bytes,
    held_beside,
    kept_by,
    peak_bytes,
    stored_bytes,
)
from fixtures.gates.memory.gate import TOLERANCE, MemoryKept, MemoryResult
from fixtures.gates.verdict import Verdict, settle
from fixtures.pipelines.architecture import LinearShape, denoiser_on_meta, selected
from fixtures.pipelines.storage import storage_bytes
from tests.suite.contexts import UNRECORDED, context, tiny

MODELS = models()
EVERY_MODEL = pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
QUANTIZED = [fmt for fmt in FORMATS.values() if not fmt.is_reference]

SAVED_GB = {
    "flux1-dev": {"mxfp8": 11.46, "nvfp4": 17.01},
    "qwen-image": {"mxfp8": 6.58, "nvfp4": 9.77},
    "ltx-2": {"mxfp8": 18.23, "nvfp4": 27.05},
}


def linear(in_features: int, out_features: int) -> LinearShape:
    return LinearShape(name="linear", in_features=in_features, out_features=out_features, bias=True)


def quantized_weight(weight: torch.Tensor, fmt: Format) -> torch.Tensor:
    """torchao's own tensor for this weight, as its quantize handlers make it; no hardware needed for storage."""
    if fmt.name == "mxfp8":
        from torchao.prototype.mx_formats.mx_tensor import MXTensor

        made = MXTensor.to_mx(weight, torch.float8_e4m3fn, block_size=32, is_swizzled_scales=True)
    elif fmt.name == "nvfp4":
        from torchao.prototype.mx_formats.nvfp4_tensor import NVFP4Tensor, per_tensor_amax_to_scale

        scale = per_tensor_amax_to_scale(weight.abs().max())
        made = NVFP4Tensor.to_nvfp4(weight, per_tensor_scale=scale, is_swizzled_scales=True)
    else:
        from torchao.quantization import PerRow
        from torchao.quantization.quantize_.workflows.float8.float8_tensor import Float8Tensor

        made = Float8Tensor.from_hp(weight, granularity=PerRow())
    assert isinstance(made, torch.Tensor)
    return made


@EVERY_MODEL
@pytest.mark.parametrize("format_name", ["mxfp8", "nvfp4"])
def test_full_size_savings_are_the_published_ones(model: Model, format_name: str) -> None:
    fmt = FORMATS[format_name]
    shapes = selected(denoiser_on_meta(model), model.selection)
    saved = expected_saved_bytes(shapes, fmt)
    assert round(saved / 1e9, 2) == SAVED_GB[model.name][format_name]
    # At full size the scales need no padding, so the rule of thumb is exact but for one float32 a tensor.
    scales = fmt.scale_bytes_per_tensor * len(shapes)
    assert saved + scales == model.quantized_parameters * (2 - fmt.bits / 8)
    for batch_size in model.compile_modes:
        published = model.published["bf16", batch_size].peak_gb - model.published[format_name, batch_size].peak_gb
        # Compared at the table's two decimals: a difference of two rounded figures says no more.
        assert round(abs(round(saved / 1e9, 2) - published), 2) <= 0.03, batch_size


@pytest.mark.parametrize("fmt", QUANTIZED, ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("shape", [(64, 64), (96, 200), (192, 768), (1024, 128), (160, 16)], ids=str)
def test_oracle_equals_what_torchao_stores(fmt: Format, shape: tuple[int, int]) -> None:
    in_features, out_features = shape
    module = torch.nn.Linear(in_features, out_features, dtype=torch.bfloat16).requires_grad_(False)
    before = storage_bytes(module)
    module.weight = torch.nn.Parameter(quantized_weight(module.weight, fmt), requires_grad=False)
    after = storage_bytes(module)
    assert after == stored_bytes(linear(*shape), fmt) + 2 * out_features, "weight and bias"
    assert before - after == expected_saved_bytes([linear(*shape)], fmt)


@EVERY_MODEL
@pytest.mark.parametrize("fmt", QUANTIZED, ids=lambda fmt: fmt.name)
def test_oracle_equals_what_torchao_would_store_at_full_size(model: Model, fmt: Format) -> None:
    """torchao's quantizers run on the meta device too: each shape of the denoiser once, no memory, no arithmetic."""
    chosen = selected(denoiser_on_meta(model), model.selection)
    for in_features, out_features in {(shape.in_features, shape.out_features) for shape in chosen}:
        module = torch.nn.Linear(in_features, out_features, bias=False, dtype=torch.bfloat16, device="meta")
        module.weight = torch.nn.Parameter(quantized_weight(module.weight, fmt), requires_grad=False)
        assert storage_bytes(module) == stored_bytes(linear(in_features, out_features), fmt)


def test_padding_costs_a_small_linear_part_of_the_saving() -> None:
    mxfp8 = FORMATS["mxfp8"]
    assert stored_bytes(linear(32, 1), mxfp8) == 32 + 128 * 4
    assert expected_saved_bytes([linear(32, 1)], mxfp8) < 0


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(QUANTIZED))
def test_oracle_is_never_above_the_rule_of_thumb(rows: int, columns: int, fmt: Format) -> None:
    shape = linear(32 * columns, 16 * rows)
    rule = shape.parameters * (2 - fmt.bits / 8)
    padding = 128 * 4 * (rows // 8 + columns + 2) * 4
    assert rule - padding - 4 * shape.out_features - 4 <= expected_saved_bytes([shape], fmt) <= rule


def test_the_reference_saves_nothing() -> None:
    assert expected_saved_bytes([linear(96, 200), linear(1024, 1024)], FORMATS["bf16"]) == 0


def test_storage_counts_parameters_and_buffers() -> None:
    module = torch.nn.BatchNorm1d(8)  # weight, bias, running mean and variance in float32, one int64 counter
    assert storage_bytes(module) == 4 * 8 * 4 + 8


def test_shared_storage_counts_once() -> None:
    first, second = torch.nn.Linear(8, 8, bias=False), torch.nn.Linear(8, 8, bias=False)
    second.weight = first.weight
    assert storage_bytes(torch.nn.ModuleList([first, second])) == 8 * 8 * 4
    third = torch.nn.Linear(8, 4, bias=False)
    third.weight = torch.nn.Parameter(first.weight.detach()[:4])  # a view keeps the whole storage alive
    assert storage_bytes(torch.nn.ModuleList([first, third])) == 8 * 8 * 4
    assert storage_bytes(third) == 8 * 8 * 4


def test_storage_is_counted_on_the_meta_device() -> None:
    flux = MODELS["flux1-dev"]
    module = denoiser_on_meta(flux)
    assert storage_bytes(module) == 2 * sum(parameter.numel() for parameter in module.parameters())


def test_peak_is_absent_on_cpu_with_a_reason() -> None:
    assert peak_bytes(lambda: torch.zeros(1000), "cpu") is None
    assert "CUDA only" in PEAK_NEEDS_CUDA


@pytest.mark.skipif(not torch.cuda.is_available(), reason=PEAK_NEEDS_CUDA)
def test_peak_includes_what_a_call_frees_again() -> None:
    held = torch.zeros(1 << 20, device="cuda")
    peak = peak_bytes(lambda: torch.zeros(1 << 22, device="cuda").sum().item(), "cuda")
    assert peak is not None
    assert peak >= held.nbytes + (1 << 24)


def test_what_quantizing_leaves_behind_is_counted() -> None:
    plain = torch.nn.Sequential(torch.nn.Linear(64, 64, bias=False, dtype=torch.bfloat16))
    kept: list[torch.Tensor] = []

    def halves(module: torch.nn.Module) -> None:
        module[0].weight = torch.nn.Parameter(module[0].weight.data.to(torch.float8_e4m3fn), requires_grad=False)  # type: ignore[index]

    def leaks(module: torch.nn.Module) -> None:
        kept.append(module[0].weight.data)  # type: ignore[index]
        halves(module)

    assert held_beside(plain, halves, "cpu") == 0
    assert held_beside(plain, leaks, "cpu") == 64 * 64 * 2


def test_what_a_call_leaves_behind_is_counted() -> None:
    kept: list[torch.Tensor] = []
    assert kept_by(lambda: torch.zeros(1000), "cpu").bytes == 0
    assert kept_by(lambda: kept.append(torch.zeros(1000)), "cpu").bytes == 4000


def verdict(limits: Limits | None = None, **measured: Any) -> Verdict:
    """What the gate says of these measurements."""
    return settle(GATE.judge(MemoryResult(**measured), limits or Limits(), UNRECORDED)).verdict


@given(expected=st.integers(10**6, 10**11), share=st.floats(-1, 3))
def test_what_shapes_alone_promise_is_kept_within_one_per_cent(expected: int, share: float) -> None:
    assume(abs(abs(share - 1) - TOLERANCE) > 1e-6)
    passes = abs(share - 1) < TOLERANCE
    measured = round(expected * share)
    assert (verdict(saved_bytes=measured, expected_bytes=expected) is Verdict.PASS) == passes
    healthy: dict[str, Any] = {"saved_bytes": 1000, "expected_bytes": 1000, "linears": 10}
    assert (verdict(**healthy, allocated_bytes=measured, weight_bytes=expected) is Verdict.PASS) == passes


@given(expected=st.integers(1, 10**11))
def test_nothing_saved_never_passes(expected: int) -> None:
    assert verdict(saved_bytes=0, expected_bytes=expected) is Verdict.FAIL


@pytest.mark.parametrize(("saved", "passes"), [(6400, True), (6401, False), (-6400, True), (-6401, False)])
def test_a_denoiser_saves_what_the_oracle_says_but_for_some_scalars(saved: int, passes: bool) -> None:
    found = verdict(saved_bytes=10**9 + saved, expected_bytes=10**9, linears=100)
    assert (found is Verdict.PASS) == passes


@pytest.mark.parametrize(
    ("beside", "kept", "passes"), [(0, 0, True), (16_000, 4000, True), (0, 8192, False), (20_000, 0, False)]
)
def test_one_more_picture_may_leave_less_behind_than_quantizing(beside: int, kept: int, passes: bool) -> None:
    found = verdict(saved_bytes=9, expected_bytes=9, linears=1, beside_bytes=beside, kept_bytes=kept)
    assert (found is Verdict.PASS) == passes


@pytest.mark.parametrize(("peak", "expected"), [(30, Verdict.PASS), (31, Verdict.FAIL), (None, Verdict.PASS)])
def test_the_peak_stays_below_its_ceiling(peak: int | None, expected: Verdict) -> None:
    ceiling = Limit(gate="memory", quantity="peak", unit="GB", ceiling=30.0, source="a test's own")
    peak_bytes = None if peak is None else peak * 10**9
    limits = Limits(entries=(ceiling,))
    assert verdict(limits, saved_bytes=9, expected_bytes=9, linears=1, peak_bytes=peak_bytes) is expected


def test_a_tiny_pipeline_saves_what_it_should_and_leaves_nothing_behind() -> None:
    found = conclude(GATE, context(tiny(), recording=True))
    assert found.judgement.verdict is Verdict.PASS, found.judgement.message
    names = [check.name for check in found.judgement.checks]
    assert names == ["saved", "held beside the denoiser", "kept by one more picture"]
    assert found.kept == MemoryKept(saved_bytes=found.result.expected_bytes)


def test_the_published_architecture_is_judged_and_not_kept() -> None:
    found = conclude(GATE, context(tiny(checkpoint="meta"), recording=True))
    assert (found.judgement.verdict, found.kept) == (Verdict.PASS, None)
