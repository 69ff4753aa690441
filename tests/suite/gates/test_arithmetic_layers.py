"""What is measured of one Linear does not depend on what others do to its input."""

from __future__ import annotations

import copy
import inspect
import math
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torchao.prototype.mx_formats import nvfp4_tensor

from fixtures.catalog import FORMATS
from fixtures.catalog.limits import limits_of
from fixtures.catalog.models.flux1_dev import MODEL
from fixtures.catalog.schema import Selection
from fixtures.gates.arithmetic.gate import GATE, ArithmeticResult
from fixtures.gates.arithmetic.layer import LayerArithmetic
from fixtures.gates.arithmetic.measure import layer_arithmetic
from fixtures.numerics.sqnr import NO_NOISE_DB, sqnr_db
from fixtures.numerics.tensor_core import software_tensor_core
from fixtures.pipelines.built import Subject
from fixtures.pipelines.observe import Step
from fixtures.pipelines.quantize import quantize, quantized_linears
from tests.suite.contexts import UNRECORDED, tiny


class TwoLinears(torch.nn.Module):
    """A denoiser whose second Linear is fed by its first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(64, 96), torch.nn.Linear(96, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: [batch, tokens, 64]."""
        y: torch.Tensor = self.second(torch.nn.functional.gelu(self.first(x)))
        return y


def measured(
    change: Callable[[torch.nn.Module], object] = lambda _: None, *, format: str = "nvfp4", unusual: bool = False
) -> dict[str, LayerArithmetic]:
    """Both Linears of a quantized TwoLinears, after `change` of it."""
    torch.manual_seed(0)
    reference = TwoLinears().bfloat16()
    pipe: Any = SimpleNamespace(transformer=copy.deepcopy(reference))
    subject = Subject(
        model=MODEL, format=FORMATS[format], checkpoint="tiny", compile_mode="eager", arithmetic="emulated", pipe=pipe
    )
    with subject.running():
        quantize(pipe.transformer, subject.format, Selection(skip=(), min_features=16, source=""), "emulated")
    subject.linears = quantized_linears(pipe.transformer)
    change(pipe.transformer)
    step = Step(args=(torch.randn(2, 40, 64).bfloat16(),), kwargs={}, outputs=())
    layers = layer_arithmetic(subject, reference, {0: step}, every=True, unusual=unusual)
    return {layer.name: layer for layer in layers}


def returning(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.nn.Module], object]:
    """The first Linear's output is changed on its way out."""
    return lambda module: module.get_submodule("first").register_forward_hook(lambda _, args, output: change(output))


def test_healthy_linears_have_no_oddity() -> None:
    """The stand-in itself is fine."""
    assert all(
        layer.oddity == "" and layer.matmuls == 1 and layer.linear_error < 0.006 for layer in measured().values()
    )


def test_a_linear_of_another_type_is_named_where_its_follower_refuses_it() -> None:
    """The denoiser breaks off with `mat1 and mat2 must have the same dtype`, deep inside torch."""
    found = measured(returning(torch.Tensor.float))
    assert found["first"].oddity == "returns torch.float32 for torch.bfloat16"
    assert found["second"].oddity == ""


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_seen_in_the_linear_that_makes_it_and_in_no_other(value: float) -> None:
    """NaN runs through every Linear that follows."""
    found = measured(returning(lambda output: output + value))
    assert not math.isfinite(found["first"].output_db)
    assert math.isfinite(found["second"].output_db)
    assert found["second"].linear_error < 0.006


def test_an_activation_is_decoded_by_its_own_second_level_whatever_its_weight_has() -> None:
    """A weight that lost its per-tensor scale says nothing about its activations'."""

    def forget(module: torch.nn.Module) -> None:
        first: Any = module.get_submodule("first")
        with software_tensor_core(), torch.no_grad():
            first.weight = torch.nn.Parameter(
                nvfp4_tensor.NVFP4Tensor.to_nvfp4(
                    torch.randn(96, 64).bfloat16(),
                    is_swizzled_scales=True,
                    act_quant_kwargs=first.weight.act_quant_kwargs,
                ),
                requires_grad=False,
            )

    layer = measured(forget)["first"]
    assert layer.activation_loss_db < 0.15
    assert layer.linear_error < 0.006


@pytest.mark.parametrize("format", ["fp8", "mxfp8", "nvfp4"])
def test_unusual_activations_are_within_the_limits_of_ordinary_ones(format: str) -> None:
    """Empty rows, outliers, small numbers and other lengths; fp8 divides by an empty row's 0, healthy as it is."""
    layers = measured(format=format, unusual=True)
    kinds = {name.partition(" fed ")[2] for name in layers} - {""}
    values = {kind for kind in kinds if not re.fullmatch(r"\d+ x \d+ rows", kind)}
    assert values == {"small numbers", "outliers"} | ({"empty rows"} if format != "fp8" else set())
    assert {"1 x 1 rows", "1 x 127 rows", "2 x 515 rows"} <= kinds
    limits = limits_of(tiny(format), "arithmetic", machine="cpu")
    checks = GATE.judge(ArithmeticResult(layers=list(layers.values())), limits, UNRECORDED)
    assert all(check.verdict == "pass" for check in checks)


def unsafe(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchao's NVFP4 quantizer with one line of it changed, as a release would."""
    source = inspect.getsource(nvfp4_tensor.nvfp4_quantize)
    assert old in source
    scope = dict(vars(nvfp4_tensor))
    exec(source.replace(old, new), scope)
    monkeypatch.setattr(nvfp4_tensor, "nvfp4_quantize", scope["nvfp4_quantize"])


def test_a_scale_that_empty_blocks_make_nan_is_seen_in_empty_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """0 / 0 is NaN; no ordinary activation has a block of zeros."""
    unsafe(
        "block_scale_fp32 / per_tensor_scale",
        "block_scale_fp32**2 / (block_scale_fp32 * per_tensor_scale)",
        monkeypatch,
    )
    broken = {name for name, layer in measured(unusual=True).items() if not math.isfinite(layer.linear_error)}
    assert broken == {"first fed empty rows", "second fed empty rows"}


def test_a_scale_in_a_narrow_type_is_seen_in_small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """float16 ends at 6e-8, and the scale of a tensor is its largest magnitude / 2688."""
    whole = nvfp4_tensor.per_tensor_amax_to_scale
    monkeypatch.setattr(nvfp4_tensor, "per_tensor_amax_to_scale", lambda amax: whole(amax).half().float())
    layers = measured(unusual=True)
    assert layers["first"].activation_loss_db < 0.15
    assert layers["first fed small numbers"].activation_loss_db > 1


def test_a_quantizer_that_looks_past_nan_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a broken layer makes must not look like a picture."""
    monkeypatch.setattr(nvfp4_tensor.NVFP4Tensor, "to_nvfp4", _deaf(nvfp4_tensor.NVFP4Tensor.to_nvfp4))
    amax = nvfp4_tensor.per_tensor_amax_to_scale
    monkeypatch.setattr(nvfp4_tensor, "per_tensor_amax_to_scale", lambda value: amax(value.nan_to_num(1.0)))
    layers = measured(unusual=True)
    assert layers["first"].oddity == "makes numbers of NaN"
    assert layers["first fed outliers"].oddity == ""


def _deaf(original: Any) -> Any:
    return staticmethod(lambda data, *args, **kwargs: original(data.nan_to_num(), *args, **kwargs))


def test_a_bias_is_held_against_bf16s_and_not_against_itself() -> None:
    """A quantizer that rounds biases too leaves each Linear true to its own."""

    def round_bias(module: torch.nn.Module) -> None:
        bias = module.get_parameter("first.bias")
        bias.data = bias.data.to(torch.float8_e5m2).to(torch.bfloat16)

    found = measured(round_bias)
    assert found["first"].linear_error > 0.006
    assert found["second"].linear_error < 0.006


def test_sqnr_is_20_db_for_a_tenth_and_never_a_number_for_nonsense() -> None:
    reference = np.ones((10, 10))
    assert sqnr_db(reference, reference * 1.1) == pytest.approx(20.0)
    assert sqnr_db(reference, reference) == NO_NOISE_DB
    assert math.isnan(sqnr_db(np.zeros((1, 3)), np.ones((1, 3))))
    assert math.isnan(sqnr_db(np.zeros((1, 3)), np.zeros((1, 3))))
    assert math.isnan(sqnr_db(reference, np.full((10, 10), np.nan)))
    with pytest.raises(ValueError, match=r"cannot compare shape \(3,\) with a reference of shape \(2,\)"):
        sqnr_db(np.ones(2), np.ones(3))
