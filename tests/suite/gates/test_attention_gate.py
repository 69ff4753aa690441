"""Attention is answered by the backend of the machine's kind, told by kernel names; a fall-back is red with both."""

from __future__ import annotations

import re

import pytest

from fixtures.catalog.lanes import machines
from fixtures.catalog.limits import Limits
from fixtures.gates.attention import CPU_BACKENDS, GATE, GPU_BACKENDS, AttentionResult, answers
from fixtures.gates.base import conclude
from fixtures.gates.verdict import Judgement, Verdict, settle
from tests.suite.contexts import UNRECORDED, context, tiny

CUDNN = "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7_64x128x128_4x1x1_kernel0_0"
FLASH = "void pytorch_flash::flash_fwd_kernel<pytorch_flash::Flash_fwd_kernel_traits<128, 128, 64, 4>>"
SPLIT = "void pytorch_flash::flash_fwd_splitkv_kernel<pytorch_flash::Flash_fwd_kernel_traits<128, 64, 128, 4>>"
COMBINE = "void pytorch_flash::flash_fwd_splitkv_combine_kernel<pytorch_flash::Flash_fwd_kernel_traits<128, 64>>"
EFFICIENT = "fmha_cutlassF_bf16_aligned_64x128_rf_sm80(PyTorchMemEffAttention::AttentionKernel)"
GEMM = "nvjet_tst_192x192_64x4_2x1_v_bz_coopB_TNN"


def judged(*events: str, calls: int = 2, preferred: str = "cudnn") -> Judgement:
    backends, names = answers([GEMM, *events], GPU_BACKENDS)
    now = AttentionResult(calls=calls, preferred=preferred, backends=backends, names=names)
    return settle(GATE.judge(now, Limits(), UNRECORDED))


def test_every_attention_by_the_preferred_backend_passes() -> None:
    said = judged(CUDNN, CUDNN)
    assert said.verdict is Verdict.PASS
    assert CUDNN in said.message


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ((FLASH, FLASH), "attention by cudnn 0, expected 2 .*attention by another backend: 2 by flash; expected cudnn"),
        ((CUDNN, SPLIT, COMBINE), "attention by cudnn 1, expected 2 .*1 by flash; expected cudnn"),
        ((CUDNN, EFFICIENT), "1 by memory-efficient; expected cudnn"),
        ((CUDNN,), "1 by math; expected cudnn"),
        ((CUDNN, CUDNN, CUDNN), "attention by cudnn 3, expected 2"),
    ],
    ids=["flash", "split", "efficient", "math", "twice"],
)
def test_a_fall_back_is_red_with_both_names(events: tuple[str, ...], said: str) -> None:
    judgement = judged(*events)
    assert judgement.verdict is Verdict.FAIL
    assert re.search(said, judgement.message), judgement.message


def test_a_gpu_that_nobody_wrote_down_only_needs_one_kernel_a_call() -> None:
    assert judged(FLASH, EFFICIENT, preferred="").verdict is Verdict.PASS
    assert judged(FLASH, preferred="").verdict is Verdict.FAIL


def test_a_denoiser_that_asks_for_no_attention_proves_nothing() -> None:
    assert judged(calls=0).verdict is Verdict.ERROR


def test_every_preferred_backend_is_a_known_one() -> None:
    known = {*CPU_BACKENDS, *GPU_BACKENDS, ""}
    assert {machine.attention for machine in machines().values()} <= known


def test_the_tiny_denoiser_is_counted_on_this_cpu() -> None:
    conclusion = conclude(GATE, context(tiny("bf16")))
    assert conclusion.judgement.verdict is Verdict.PASS, conclusion.judgement.message
    assert conclusion.result.calls == conclusion.result.backends["flash"] == 6
