"""Matmuls are one a Linear a call, and native ones run in the right kernels, read from profiler traces.

The traces are made by hand from documented names (fixtures/numerics/formats says whose); no B200 was at hand to
record one.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalog import FORMATS
from fixtures.catalog.limits import Limits
from fixtures.gates.base import conclude
from fixtures.gates.kernels import GATE
from fixtures.gates.kernels.gate import KernelsResult
from fixtures.gates.kernels.names import judge_native_kernels, matching
from fixtures.gates.kernels.profile import SCALED_MATMULS, Profiled, read_trace
from fixtures.gates.verdict import Judgement, Verdict, settle
from fixtures.numerics.registry import numerics
from tests.suite.contexts import UNRECORDED, context, tiny

LINEARS, BLOCKS = 494, 57
EVIDENCE = {name: entry.kernels for name, entry in numerics().items() if entry.kernels is not None}
MATMULS = {
    "mxfp8": [
        "nvjet_sm100_qqtst_128x256_128x6_2x1_2cta_v_bz_Avec32UE8M0_Bvec32UE8M0_bias_TNT",
        "nvjet_sm100_qqsss_128x128_128x8_2x4_2cta_h_bz_Avec32UE8M0_Bvec32UE8M0_TNT",
        "nvjet_qqtst_128x256_128x6_2x2_2cta_h_bz_Avec32UE8M0_Bvec32UE8M0_TNT",
        "cutlass3x_sm100_bstensorop_gemm_ue8m0xe4m3_ue8m0xe4m3_f32_void_bf16_128x128x128_tnt_align16_o_vs32_1sm",
    ],
    "nvfp4": [
        "nvjet_sm100_ootst_128x128_256x7_4x1_2cta_v_bx_Avec16UE4M3_Bvec16UE4M3_TNT",
        "nvjet_sm100_oohsh_128x256_256x5_2x2_2cta_h_bz_Avec16UE4M3_Bvec16UE4M3_TNT",
        "nvjet_sm100_oosss_128x256_256x5_2x1_2cta_v_bz_Avec16UE4M3_Bvec16UE4M3_TNT",
        "cutlass3x_sm100_bstensorop_s256x128x64gemm_block_scaled_ue4m3xf4_ue4m3xf4_f32_f16_f16_256x128x256_0_tnn_align32",
        "cutlass3x_sm100_bstensorop_gemm_ue4m3xe2m1_ue4m3xe2m1_f32_void_bf16_128x128x256_tnt_align32_o_vs16_1sm",
    ],
    "fp8": [
        "nvjet_sm100_qqtst_128x16_128x12_2x1_2cta_v_bz_TNT",
        "nvjet_qqtst_112x128_128x7_2x1_v_bz_coopA_algo2_TNN",
    ],
}
BF16 = ["nvjet_sm100_tst_128x256_64x6_2x1_2cta_v_bz_TNT", "nvjet_tst_192x192_64x4_2x1_v_bz_coopB_TNN"]
QUANTIZERS = ["quantize_nvfp4_kernel", "triton_quantize_nvfp4_kernel", "quantize_nvfp4_triton_kernel"]
FUSED = "triton_red_fused__to_copy_abs_amax_mul_0"


def write_trace(path: Path, kernels: Mapping[str, int], *, operators: int = 0, launches: int = 0) -> Profiled:
    """A trace in the form that torch.profiler exports, hand-made, and what the suite reads from it."""
    kinds = [("kernel", name, count) for name, count in kernels.items()]
    kinds += [("cpu_op", SCALED_MATMULS[0], operators), ("cuda_runtime", "cudaGraphLaunch", launches)]
    kinds += [("cuda_runtime", "cudaLaunchKernel", 3), ("gpu_memcpy", "Memcpy DtoD (Device -> Device)", 2)]
    kinds += [("ac2g", "cudaGraphLaunch", 9), ("gpu_user_annotation", "nvjet_sm100_ootst_annotated", 9)]
    events = [
        {"ph": "X", "cat": kind, "name": name, "pid": 0, "tid": 7, "ts": index, "dur": 1}
        for kind, name, count in kinds
        for index in range(count)
    ]
    document = {"schemaVersion": 1, "comment": "made by hand", "traceEvents": [*events, {"ph": "M", "name": "meta"}]}
    path.write_bytes(gzip.compress(json.dumps(document).encode()))
    return read_trace(path)


def healthy(kind: str, matmul: str, quantizer: str = QUANTIZERS[0]) -> dict[str, int]:
    """Kernels of one denoiser call as documented names tell them."""
    quantizing = {quantizer: LINEARS} if EVIDENCE[kind].quantizer else {FUSED: LINEARS}
    return {matmul: LINEARS, BF16[0]: 10, "flash_fwd_kernel": BLOCKS, **quantizing}


def verdict(kernels: Mapping[str, int], kind: str) -> Verdict:
    return settle(judge_native_kernels(kernels=kernels, kind=kind, linears=LINEARS)).verdict


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in MATMULS.items() for name in names])
def test_documented_name_proves_its_own_format_and_no_other(kind: str, name: str, tmp_path: Path) -> None:
    seen = write_trace(tmp_path / "trace.json.gz", healthy(kind, name), operators=LINEARS, launches=BLOCKS)
    assert verdict(seen.kernels, kind) is Verdict.PASS
    assert sum(seen.operators.values()) == LINEARS
    for other in set(MATMULS) - {kind}:
        assert verdict(seen.kernels, other) is Verdict.FAIL
        assert matching({name: 1}, EVIDENCE[other].matmul) == {}


@pytest.mark.parametrize("name", BF16)
@pytest.mark.parametrize("kind", MATMULS)
def test_bf16_products_prove_nothing_and_are_named(kind: str, name: str) -> None:
    (count, *_) = judge_native_kernels(kernels=healthy(kind, name), kind=kind, linears=LINEARS)
    assert (count.verdict, count.value) == (Verdict.FAIL, 0)
    assert name in count.note


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_quantizer_counts_under_each_of_its_names(quantizer: str) -> None:
    kernels = healthy("nvfp4", MATMULS["nvfp4"][0], quantizer)
    assert verdict(kernels, "nvfp4") is Verdict.PASS
    assert verdict(kernels | {quantizer: math.ceil(LINEARS / 4)}, "nvfp4") is Verdict.PASS, "shared activations"
    assert verdict(kernels | {quantizer: math.ceil(LINEARS / 4) - 1}, "nvfp4") is Verdict.FAIL
    assert verdict(kernels | {quantizer: LINEARS + 1}, "nvfp4") is Verdict.FAIL


def test_quantizer_that_was_asked_for_and_not_used_is_red() -> None:
    """ao 3155: `use_triton_kernel` accepted, kernel not used."""
    kernels = {MATMULS["nvfp4"][0]: LINEARS, FUSED: LINEARS}
    quantizer = judge_native_kernels(kernels=kernels, kind="nvfp4", linears=LINEARS)[-1]
    assert (quantizer.verdict, quantizer.note) == (Verdict.FAIL, "the format's fast quantizer was not used")


@given(kind=st.sampled_from(sorted(MATMULS)), counts=st.lists(st.integers(1, 500), min_size=1, max_size=2))
def test_matmul_kernels_pass_only_at_one_a_linear(kind: str, counts: list[int]) -> None:
    kernels = healthy(kind, MATMULS[kind][0])
    del kernels[MATMULS[kind][0]]
    kernels |= dict(zip(MATMULS[kind], counts, strict=False))
    used = sum(count for _, count in zip(MATMULS[kind], counts, strict=False))
    assert (verdict(kernels, kind) is Verdict.PASS) == (used == LINEARS)


def test_kernels_of_another_format_are_named_beside_enough_of_ones_own() -> None:
    kernels = healthy("nvfp4", MATMULS["nvfp4"][0]) | {MATMULS["mxfp8"][0]: 3}
    foreign = next(
        check
        for check in judge_native_kernels(kernels=kernels, kind="nvfp4", linears=LINEARS)
        if check.verdict is Verdict.FAIL
    )
    assert foreign.note == f"3 x {MATMULS['mxfp8'][0]}"


def test_nothing_profiled_and_an_unknown_format_are_errors() -> None:
    assert verdict({}, "nvfp4") is Verdict.ERROR
    assert verdict({"k": 1}, "int8") is Verdict.ERROR


@pytest.mark.parametrize(
    ("launches", "expected"), [(BLOCKS, "pass"), (2 * BLOCKS, "pass"), (BLOCKS - 1, "fail"), (0, "fail")]
)
def test_graph_replays_are_counted_where_the_host_launches_them(launches: int, expected: str, tmp_path: Path) -> None:
    seen = write_trace(tmp_path / "trace.json.gz", healthy("mxfp8", MATMULS["mxfp8"][0]), launches=launches)
    assert seen.graph_launches == launches
    assert judged(arithmetic="native", graph_launches=seen.graph_launches, graph_blocks=BLOCKS).verdict == expected


def test_every_quantized_format_has_its_evidence_and_every_name_its_source() -> None:
    assert set(EVIDENCE) == {entry.matmul for entry in FORMATS.values() if entry.matmul is not None}
    for evidence in EVIDENCE.values():
        assert all(len(one.source) > 20 for one in (*evidence.matmul, *evidence.quantizer))


def test_a_real_trace_is_read_like_the_profiler_itself(tmp_path: Path) -> None:
    """Recorded here and now, on the CPU: operators without any kernel."""
    path = tmp_path / "trace.json"
    with torch.profiler.profile() as profiler:
        torch.ones(8, 8) @ torch.ones(8, 8)
    profiler.export_chrome_trace(str(path))
    seen = read_trace(path)
    assert (seen.kernels, seen.operators, seen.graph_launches) == ({}, {}, 0)


def judged(**changes: object) -> Judgement:
    """What the gate says of two Linears and three calls that ran as they should, but for `changes`."""
    right = KernelsResult(kind="nvfp4", linears=2, denoiser_calls=3, arithmetic="emulated", matmuls={"nvfp4": 6})
    return settle(GATE.judge(right.model_copy(update=changes), Limits(), UNRECORDED))


@given(linears=st.integers(0, 600), calls=st.integers(0, 60), counted=st.integers(0, 40_000))
def test_matmuls_pass_only_at_one_a_linear_a_call(linears: int, calls: int, counted: int) -> None:
    for count in (counted, linears * calls):
        found = judged(matmuls={"nvfp4": count}, linears=linears, denoiser_calls=calls).verdict
        assert found is (Verdict.PASS if count == linears * calls > 0 else Verdict.FAIL)


@given(other=st.integers(1, 100))
def test_a_matmul_of_another_kind_fails_even_beside_all_of_ones_own(other: int) -> None:
    judgement = judged(matmuls={"nvfp4": 6, "mxfp8": other})
    assert judgement.verdict is Verdict.FAIL
    assert f"{other} mxfp8" in judgement.message


def test_nothing_multiplied_never_passes() -> None:
    assert judged(matmuls={}, linears=0, denoiser_calls=0).verdict is Verdict.FAIL


def test_native_kernels_are_judged_beside_the_operators() -> None:
    judgement = judged(arithmetic="native", kernels={BF16[0]: 2})
    assert {check.name for check in judgement.checks} == {
        "nvfp4 matmuls",
        "nvfp4 matmul kernels",
        "activation quantizer kernels",
    }
    assert judgement.verdict is Verdict.FAIL


def test_a_tiny_pipeline_multiplies_each_linear_in_software() -> None:
    found = conclude(GATE, context(tiny("mxfp8")))
    assert (found.judgement.verdict, found.result.arithmetic) == (Verdict.PASS, "emulated")
    assert found.result.matmuls == {"mxfp8": found.result.linears * found.result.denoiser_calls}
    assert found.result.kernels is None
