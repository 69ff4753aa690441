"""The judgement over the B200's code: exact, by name, and red for each thing that it guards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fixtures.catalog.limits import Limits
from fixtures.catalog.targets import B200
from fixtures.gates.base import Missing
from fixtures.gates.code import GATE
from fixtures.gates.code.changes import changes
from fixtures.gates.code.gate import CodeKept, CodeResult
from fixtures.gates.code.releases import numbers, relation
from fixtures.gates.verdict import Cause, Check, Judgement, Verdict, settle
from fixtures.pipelines.device_code.block_code import BlockCode, Kernel, MatrixProduct, Operator
from tests.suite.contexts import UNRECORDED

UP, ROUND = "cvt.rp.satfinite.ue8m0x2.f32", "cvt.rn.satfinite.e4m3x2.f32"
RECORDING = Missing(reason="recording", cause=Cause.RECORDING)


def kernel(name: str = "triton_red_fused_abs_amax_mul_add", **other: object) -> Kernel:
    made = Kernel(
        name=name,
        launches=1,
        bytes=100_000_000,
        registers=(32,),
        stack_bytes=0,
        target="sm_100a",
        conversions=(UP, ROUND),
    )
    return replace(made, **other)  # type: ignore[arg-type]


def product(operator: str = "_scaled_mm", count: int = 2) -> MatrixProduct:
    return MatrixProduct(operator=operator, rows=4608, inner=3072, columns=3072, bytes=1000, count=count)


def block(*kernels: Kernel, **other: object) -> BlockCode:
    attention = Operator(name="aten._scaled_dot_product_cudnn_attention", calls=1, bytes=1000, flops=1000)
    made = BlockCode(
        name="FluxTransformerBlock",
        repeats=19,
        quantized_linears=2,
        kernels=kernels or (kernel(),),
        products=(product(),),
        operators=(attention,),
    )
    return replace(made, **other)  # type: ignore[arg-type]


BLOCK = block()


def result(*blocks: BlockCode, matmul: str | None = "mxfp8", breaks: dict[str, int] | None = None) -> CodeResult:
    return CodeResult(target=B200.assembled, matmul=matmul, blocks=blocks or (BLOCK,), graph_breaks=breaks or {})


def judged(now: CodeResult, before: BlockCode | Missing = BLOCK) -> Judgement:
    stored = before if isinstance(before, Missing) else CodeKept(blocks=(before,))
    return settle(GATE.judge(now, Limits(), stored))


def red(judgement: Judgement) -> list[Check]:
    return [check for check in judgement.checks if check.verdict is not Verdict.PASS]


def test_the_same_code_is_green() -> None:
    said = judged(result())
    assert said.verdict is Verdict.PASS
    assert {check.name for check in said.checks} == {
        "graph breaks",
        "kernels for sm_100a",
        "kernels that spill",
        "mxfp8 matmuls",
        "conversions",
        "FluxTransformerBlock launches",
        "FluxTransformerBlock kernel bytes",
        "FluxTransformerBlock most registers",
        "FluxTransformerBlock stack",
    }


@pytest.mark.parametrize(
    ("now", "check", "says"),
    [
        (result(breaks={"print": 2}), "graph breaks", "graph breaks 2, expected 0 (2 x print)"),
        (result(block(kernel(target="sm_90a"))), "kernels for sm_100a", "triton_red_fused_abs_amax_mul_add for sm_90a"),
        (result(block(kernel(stack_bytes=68))), "kernels that spill", "triton_red_fused_abs_amax_mul_add: 68 bytes"),
        (result(block(products=(product(count=1),))), "mxfp8 matmuls", "FluxTransformerBlock: 1 instead of 2"),
        (result(block(products=(product(count=3),))), "mxfp8 matmuls", "matmuls 3, expected 2"),
        (result(block(quantized_linears=0, products=())), "quantized Linears", "nothing was quantized"),
        (
            result(block(kernel(conversions=("cvt.rp.ue8m0x2.f32", ROUND)))),
            "conversions",
            r"no kernel has cvt\.rp\.satfinite\.ue8m0x2\.f32; there is cvt.rn.satfinite.e4m3x2.f32, cvt.rp.ue8m0x2.f32",
        ),
        (result(replace(BLOCK, kernels=())), "kernels", "no kernel was generated"),
    ],
)
def test_what_needs_no_baseline_is_red_without_one(now: CodeResult, check: str, says: str) -> None:
    said = judged(now, RECORDING)
    assert check in [one.name for one in red(said)]
    assert says in said.message


def test_quantizers_are_counted_where_the_code_calls_one() -> None:
    once = Operator(name="ao.mslk_quantize_nvfp4", calls=2, bytes=1000, flops=0)
    assert judged(result(block(operators=(once,)), matmul="nvfp4"), RECORDING).verdict is Verdict.PASS
    twice = judged(result(block(operators=(replace(once, calls=4),)), matmul="nvfp4"), RECORDING)
    assert "activation quantizers 4, expected 2 (FluxTransformerBlock: 4 for 2 Linears)" in twice.message


def test_the_reference_needs_no_scaled_matmul() -> None:
    plain = block(kernel(conversions=()), quantized_linears=0, products=(product("mm"),))
    assert judged(result(plain, matmul=None), RECORDING).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (block(kernel(bytes=101_000_000)), "bytes +1 % (100 MB -> 101 MB)"),
        (block(kernel(launches=2)), "1 -> 2 launches"),
        (block(kernel(stack_bytes=8)), "stack 0 -> 8 bytes"),
        (block(kernel(registers=(40,))), "registers 32 -> 40"),
        (block(kernel(), kernel("triton_poi_fused_clone")), "kernel appeared: triton_poi_fused_clone (100 MB)"),
        (
            block(kernel("triton_red_fused_abs_amax"), kernel("triton_poi_fused_mul_add")),
            "fusion lost: triton_red_fused_abs_amax_mul_add became triton_red_fused_abs_amax, triton_poi_fused_mul_add",
        ),
        (
            block(kernel("triton_red_fused_abs_amax_mul_add_view")),
            "kernel renamed: triton_red_fused_abs_amax_mul_add is triton_red_fused_abs_amax_mul_add_view",
        ),
        (block(products=(product(), product("mm", 1))), "matrix product mm [4608, 3072] x [3072, 3072]: 0 -> 1"),
        (block(operators=()), "call aten._scaled_dot_product_cudnn_attention: 1 -> 0"),
    ],
)
def test_a_change_is_red_by_name(now: BlockCode, says: str) -> None:
    said = judged(result(now))
    assert said.verdict is Verdict.FAIL
    assert says in said.message
    assert changes(now, now) == []


def test_a_fusion_that_was_gained_is_told() -> None:
    apart = block(kernel("triton_red_fused_abs_amax"), kernel("triton_poi_fused_mul_add"))
    assert changes(BLOCK, apart) == [
        "fusion gained: triton_red_fused_abs_amax, triton_poi_fused_mul_add became triton_red_fused_abs_amax_mul_add"
    ]


def test_blocks_come_and_go_by_name() -> None:
    second = replace(BLOCK, name="FluxTransformerBlock 2")
    assert "FluxTransformerBlock 2 is compiled now and was not" in judged(result(BLOCK, second)).message
    stored = CodeKept(blocks=(BLOCK, second))
    assert (
        "FluxTransformerBlock 2 of the baseline is not compiled any more"
        in settle(GATE.judge(result(), Limits(), stored)).message
    )


def test_without_a_baseline_the_comparison_fails_and_without_triton_it_is_skipped() -> None:
    assert [check.cause for check in red(judged(result(), UNRECORDED))] == [Cause.NO_BASELINE]
    nothing = CodeResult(target="sm_100a", matmul=None, unavailable="no Triton here")
    assert judged(nothing).verdict is Verdict.SKIP


OLD = {"torch": "2.14.1+cu130", "triton": "3.8.0", "torchao": "0.18.0"}
NEW = {"torch": "2.15.0+cu132", "triton": "3.9.0", "torchao": "0.18.0"}


def moved(
    now: BlockCode, *, here: dict[str, str], baseline: dict[str, str], forecasts: tuple[float, float]
) -> Judgement:
    measured = result(now).model_copy(
        update={"versions": here, "baseline_versions": baseline, "forecast": forecasts[0]}
    )
    return settle(GATE.judge(measured, Limits(), CodeKept(blocks=(BLOCK,), forecast=forecasts[1])))


@pytest.mark.parametrize(
    ("here", "baseline", "stands"),
    [
        (OLD, OLD, "same"),
        ({**OLD, "torch": "2.14.1+cpu"}, OLD, "same"),
        ({**OLD, "mslk": "1.0.0"}, OLD, "same"),
        ({**OLD, "transformers": "5.24.0"}, {**OLD, "transformers": "5.23.0"}, "same"),
        (NEW, OLD, "newer"),
        ({**OLD, "torch": "2.16.0.dev20261102"}, {**OLD, "torch": "2.16.0.dev20261101"}, "newer"),
        (OLD, NEW, "older"),
        ({**NEW, "torchao": "0.17.0"}, OLD, "older"),
        (OLD, {}, "same"),
    ],
)
def test_releases_are_the_same_newer_or_older(here: dict[str, str], baseline: dict[str, str], stands: str) -> None:
    assert relation(here, baseline) == stands


WORSE = [
    (block(kernel(launches=2)), "launches 5 above ceiling 4"),
    (block(kernel(bytes=101_000_000)), "kernel bytes 0.101 GB above ceiling 0.1 GB (triton_red_fused_abs_amax_mul_add"),
    (block(kernel(registers=(40, 33))), "most registers 33 above ceiling 32"),
    (block(kernel(stack_bytes=8)), "stack 8 bytes above ceiling 0 bytes"),
    (block(kernel(conversions=(UP, ROUND.replace("rn", "rz")))), f"FluxTransformerBlock conversions: lost: {ROUND}"),
]


@pytest.mark.parametrize(("now", "says"), WORSE)
def test_what_an_upgrade_makes_worse_is_red(now: BlockCode, says: str) -> None:
    said = moved(now, here=NEW, baseline=OLD, forecasts=(1.2, 1.2))
    assert said.verdict is Verdict.FAIL
    assert says in said.message


def test_an_upgrade_may_cost_no_more_than_one_percent_of_the_forecast() -> None:
    assert moved(BLOCK, here=NEW, baseline=OLD, forecasts=(1.19, 1.2)).verdict is Verdict.PASS
    said = moved(BLOCK, here=NEW, baseline=OLD, forecasts=(1.187, 1.2))
    assert said.verdict is Verdict.FAIL
    assert said.message == "forecast speedup 1.187x below floor 1.188x"


def test_what_an_upgrade_makes_better_or_merely_different_is_a_remark() -> None:
    better = block(kernel("triton_per_fused_amax", bytes=99_000_000, registers=(24,)))
    said = moved(better, here=NEW, baseline=OLD, forecasts=(1.22, 1.2))
    assert said.verdict is Verdict.PASS
    (remark,) = [check for check in said.checks if check.name == "FluxTransformerBlock code"]
    assert "kernel vanished: triton_red_fused_abs_amax_mul_add (100 MB)" in remark.note
    assert moved(better, here=OLD, baseline=OLD, forecasts=(1.22, 1.2)).verdict is Verdict.FAIL


@pytest.mark.parametrize("baseline", [OLD, NEW])
def test_the_same_numbers_are_told_of_this_release_and_of_a_newer_one(baseline: dict[str, str]) -> None:
    told = moved(BLOCK, here=NEW, baseline=baseline, forecasts=(1.2, 1.2)).checks
    assert {check.name for check in told} >= {name for name, *_ in numbers(BLOCK, BLOCK)}


def test_a_block_that_an_upgrade_adds_is_red() -> None:
    other = replace(BLOCK, name="FluxTransformerBlock 2")
    measured = result(BLOCK, other).model_copy(update={"versions": NEW, "baseline_versions": OLD})
    said = settle(GATE.judge(measured, Limits(), CodeKept(blocks=(BLOCK,))))
    assert said.verdict is Verdict.FAIL
    assert "FluxTransformerBlock 2 is compiled now and was not in the baseline" in said.message


@pytest.mark.parametrize("now", [now for now, _ in WORSE] + [block(kernel(conversions=()))])
def test_an_older_stack_is_told_what_differs_and_nothing_is_red(now: BlockCode) -> None:
    said = moved(now, here=OLD, baseline=NEW, forecasts=(1.1, 1.2))
    assert said.verdict is Verdict.PASS
    (remark,) = [check for check in said.checks if check.name == "FluxTransformerBlock code"]
    assert "triton_red_fused_abs_amax_mul_add" in remark.note


def test_an_older_stack_must_still_compile_whole() -> None:
    measured = result(block(products=(product(count=1),)), breaks={"print": 1})
    measured = measured.model_copy(update={"versions": OLD, "baseline_versions": NEW})
    said = settle(GATE.judge(measured, Limits(), CodeKept(blocks=(BLOCK,))))
    assert [check.name for check in red(said)] == ["graph breaks", "mxfp8 matmuls"]
