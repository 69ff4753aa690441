"""The kernels that a GPU launches against those that its blocks' code counts."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fixtures.catalog.limits import Limits
from fixtures.catalog.targets import B200, H200, target_of
from fixtures.gates.launches import GATE, LaunchesResult, generated, named
from fixtures.gates.verdict import Judgement, Verdict, settle
from tests.suite.contexts import UNRECORDED

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
