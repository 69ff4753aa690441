"""The quantizer gate is green on what is installed, red by name where a kernel is not what it should be."""

from __future__ import annotations

import importlib.util
import math
import re
from typing import Any
from unittest import mock

import pytest
import torch

from fixtures.catalog.limits import Limits
from fixtures.catalog.schema import Case
from fixtures.faults import Fault, catalog
from fixtures.gates.base import conclude
from fixtures.gates.quantizer import GATE
from fixtures.gates.quantizer.measure import measured
from fixtures.gates.quantizer.result import OperandResult, PublishedStep, QuantizerResult
from fixtures.gates.verdict import Judgement, Verdict, settle
from fixtures.numerics import quantizers
from tests.suite.contexts import UNRECORDED, context, tiny

FAULTS = [fault for fault in catalog().values() if fault.file == "in_quantizer"]
needs_mslk = pytest.mark.skipif(
    importlib.util.find_spec("mslk") is None, reason="mslk has wheels for Linux on x86-64 alone"
)


def test_it_speaks_of_the_formats_whose_quantizer_is_written_down() -> None:
    assert set(GATE.applies.matmuls) == set(quantizers.QUANTIZERS)


def judged(result: QuantizerResult) -> Judgement:
    """By no limits and no baseline, which the gate does not need."""
    return settle(GATE.judge(result, Limits(), UNRECORDED))


def kind_of(case: str) -> str:
    return "mxfp8" if "/mxfp8-" in case else "nvfp4"


@needs_mslk
@pytest.mark.parametrize("kind", ["nvfp4", "mxfp8"])
def test_what_is_installed_is_right(kind: str) -> None:
    result = measured(kind, {}, native=False)
    said = judged(result)
    assert said.verdict is Verdict.PASS, said.message
    assert result.ran == "interpreted"
    by_rule = {name for operand in result.operands for name, count in operand.by_rule.items() if count}
    assert by_rule == ({"small blocks"} if kind == "nvfp4" else set())
    assert [one.shape[0] * one.shape[1] > 2**31 for one in result.beyond] == [True, True] * (kind == "nvfp4")


@needs_mslk
@pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name) for fault in FAULTS])
def test_each_fault_of_a_quantizer_is_red_for_its_own_reason(fault: Fault) -> None:
    with fault.injected():
        said = judged(measured(kind_of(fault.case), {}, native=False))
    assert said.verdict is Verdict.FAIL
    assert re.search(fault.fails["quantizer"], said.message), said.message


@needs_mslk
def test_a_pipelines_own_activations_are_quantized_too() -> None:
    said = conclude(GATE, context(tiny("nvfp4")))
    assert said.judgement.verdict is Verdict.PASS, said.judgement.message
    assert "fp4_quantize" in said.explanation.note
    assert "differ from torchao's by the rule small blocks" in said.explanation.note
    assert any(operand.name.startswith("transformer_blocks") for operand in said.result.operands)
    step = said.result.published
    assert step is not None
    assert step.launches == step.linears == 44
    assert step.db != step.torchao_db, "another quantizer made it"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"launches": 43}, "kernels launched in a denoising step 43, expected 44 (step 6)"),
        ({"db": [10.0]}, "prediction's loss through the kernel 8 dB above ceiling 1.5 dB (10.00 for 18.00 dB)"),
        ({"db": [math.nan]}, "prediction's loss through the kernel: measured nan, not a number"),
    ],
)
def test_a_step_off_the_kernels_path_is_red(changes: dict[str, Any], message: str) -> None:
    step = PublishedStep(step=6, linears=44, launches=44, db=[18.1], torchao_db=[18.0])
    operand = OperandResult(name="ordinary", shape=(1, 16), blocks=1, wrong_scales=0, wrong_elements=0)
    whole = QuantizerResult(operands=[operand], published=step)
    assert judged(whole).verdict is Verdict.PASS
    red = judged(whole.model_copy(update={"published": step.model_copy(update=changes)}))
    assert red.verdict in (Verdict.FAIL, Verdict.ERROR)
    assert red.message == message


def test_formats_without_a_quantizer_of_their_own_are_left_out() -> None:
    def asked(case: Case) -> bool:
        return GATE.applies.to(case, first_batch=1)

    assert [asked(tiny(name)) for name in ("bf16", "fp8", "mxfp8", "nvfp4")] == [False, False, True, True]
    assert not asked(tiny("nvfp4", batch_size=2))
    assert not asked(tiny("nvfp4", checkpoint="meta"))


def test_machine_without_triton_or_mslk_skips_with_the_reason() -> None:
    with mock.patch.dict("sys.modules", {"triton.runtime.interpreter": None}):
        said = judged(measured("nvfp4", {}, native=False))
    assert said.verdict is Verdict.SKIP
    assert re.search(r"this machine has no Triton .*pip install triton", said.message)
    with mock.patch("importlib.util.find_spec", return_value=None), _unknown_names():
        said = judged(measured("nvfp4", {}, native=False))
    assert "mslk is not installed" in said.message


@needs_mslk
def test_quantizer_under_no_known_name_is_an_error_that_says_where_to_add_it() -> None:
    with _unknown_names(), pytest.raises(LookupError, match=r"none of its names .*add one to NVFP4_KERNELS"):
        measured("nvfp4", {}, native=False)


def _unknown_names() -> mock._patch[tuple[quantizers.NvfpKernel, ...]]:
    unknown = quantizers.NvfpKernel(module="mslk.moved", function="quantize", least_scale=0.0, source="a test's own")
    return mock.patch("fixtures.gates.quantizer.measure.NVFP4_KERNELS", (unknown,))


@needs_mslk
def test_scale_off_by_one_step_or_a_flipped_bit_is_seen() -> None:
    """As small as a change can be: one scale of one activation, one step too large."""
    from fixtures.gates.quantizer import measure

    found = measure.installed_kernel()
    assert isinstance(found, measure.Installed)

    def off(x: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        codes, scales = found.call(x, scale)
        scales.view(torch.uint8).view(-1)[0] += 1
        return codes, scales

    x = torch.ones(1, 64, dtype=torch.bfloat16)
    operand = measure._nvfp4_operand(measure.Installed(entry=found.entry, call=off), "ones", x, native=False)
    assert (operand.wrong_scales, operand.unlike, operand.first) == (1, 1, (0, 0))
