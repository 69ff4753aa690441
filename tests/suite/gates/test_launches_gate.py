"""The kernels that a GPU launches against those that its blocks' code counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from fixtures.catalog import models, parse_case
from fixtures.catalog.limits import Limits
from fixtures.catalog.schema import Case
from fixtures.catalog.targets import B200, H200, Target, target_of
from fixtures.gates.base import conclude
from fixtures.gates.launches import GATE, LaunchesResult, generated, named
from fixtures.gates.verdict import Judgement, Verdict, settle
from fixtures.pipelines.device_code.block_code import BlockCode, Kernel, ModelCode
from fixtures.pipelines.observations import Observations
from fixtures.pipelines.stopwatch import Stopwatch
from tests.suite.contexts import UNRECORDED, context, tiny

TRACED = "triton_poi_fused__scaled_dot_product_flash_attention_for_cpu__to_copy_cat_mul"
COUNTED = {named(TRACED): 57, "triton_red_fused_native_layer_norm": 114}
"""19 + 38 blocks: one kernel fused with attention's inputs in each, two norms."""
RAN = [
    *["triton_poi_fused__scaled_dot_product_cudnn_attention__to_copy_cat_mul_3"] * 57,
    *["triton_red_fused_native_layer_norm_0", "triton_red_fused_native_layer_norm_12"] * 57,
    "nvjet_tst_192x192_64x4_2x1_v_bz_coopB_TNN",
    "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_kernel0_0",
]


def judged(ran: Mapping[str, int], counted: Mapping[str, int] = COUNTED, target: str = "sm_90a") -> Judgement:
    now = LaunchesResult(target=target, ran=dict(ran), counted=dict(counted))
    return settle(GATE.judge(now, Limits(), UNRECORDED))


def test_kernels_that_ran_as_counted_pass_whatever_attention_is_called() -> None:
    said = judged(generated(RAN))
    assert said.verdict is Verdict.PASS, said.message
    assert "generated kernels 171, expected 171" in said.message


@pytest.mark.parametrize(
    ("ran", "said"),
    [
        ([*RAN, "triton_poi_fused_clone_4"], "172, expected 171 (triton_poi_fused_clone ran 1 times, counted 0)"),
        (RAN[57:], "114, expected 171 (triton_poi_fused__attention__to_copy_cat_mul ran 0 times, counted 57)"),
    ],
    ids=["one more", "one lost in every block"],
)
def test_what_ran_more_or_less_often_is_red_by_name(ran: list[str], said: str) -> None:
    judgement = judged(generated(ran))
    assert judgement.verdict is Verdict.FAIL
    assert said in judgement.message


def test_code_without_kernels_compares_nothing() -> None:
    assert judged(generated(RAN), counted={}).verdict is Verdict.ERROR


def test_without_a_gpu_that_somebody_described_it_is_skipped() -> None:
    assert judged({}, {}, target="").verdict is Verdict.SKIP
    assert [target_of(sm) for sm in ((9, 0), (10, 0), (12, 0), None)] == [H200, B200, None, None]


@pytest.mark.parametrize(("last", "verdict"), [(19, Verdict.PASS), (18, Verdict.FAIL)])
def test_a_profile_is_held_against_code_made_for_the_gpu_that_is_there(last: int, verdict: Verdict) -> None:
    """A call of the whole denoiser, whose blocks of one class repeat; a second text length is another call."""
    pytest.importorskip("triton", reason="code is made where Triton is installed")
    asked = []

    def code_of(case: Case, target: Target) -> ModelCode:
        asked.append((case.id, target))
        return ModelCode(blocks=(block("Block", 2), block("Block 2", 5)), graph_breaks={}, sources={})

    def block(name: str, launches: int) -> BlockCode:
        kernel = Kernel(
            name="triton_red_fused_mean", launches=launches, bytes=1, registers=(16,), stack_bytes=0, target="sm_90a"
        )
        return BlockCode(name=name, repeats=19, quantized_linears=0, kernels=(kernel,), products=(), operators=())

    ran = ["triton_red_fused_mean_0"] * 19 + ["triton_red_fused_mean_1"] * last
    seen = SimpleNamespace(
        names_of_one_call=lambda _: ran,
        arithmetic=lambda _: "native",
        stopwatch=Stopwatch(),
        pipelines=SimpleNamespace(models=models()),
    )
    case = parse_case("flux1-dev/bf16-random-bs1-reduce-overhead")
    ctx = replace(
        context(tiny()), case=case, machine="hopper", code_of=code_of, observations=cast("Observations", seen)
    )
    said = conclude(GATE, ctx).judgement
    assert said.verdict is verdict
    assert f"generated kernels {19 + last}, expected 38" in said.message
    assert asked == [("flux1-dev/bf16-meta-bs1-eager", H200)]
