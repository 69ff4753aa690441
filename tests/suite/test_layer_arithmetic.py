"""What is measured of one Linear does not depend on what others do to its input."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torchao.prototype.mx_formats.nvfp4_tensor import NVFP4Tensor

from fixtures.build.quantize import quantize, quantized_linears
from fixtures.build.tensor_core import software_tensor_core
from fixtures.build.workshop import Subject
from fixtures.catalog import FORMATS
from fixtures.catalog.models.flux1_dev import MODEL
from fixtures.catalog.schema import Selection
from fixtures.measure.arithmetic import LayerArithmetic, layer_arithmetic
from fixtures.measure.observe import Step


class TwoLinears(torch.nn.Module):
    """A denoiser whose second Linear is fed by its first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(64, 96), torch.nn.Linear(96, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: [batch, tokens, 64]."""
        y: torch.Tensor = self.second(torch.nn.functional.gelu(self.first(x)))
        return y


def measured(change: Callable[[torch.nn.Module], object] = lambda _: None) -> dict[str, LayerArithmetic]:
    """Both Linears of a quantized TwoLinears, after `change` of it."""
    torch.manual_seed(0)
    reference = TwoLinears().bfloat16()
    pipe: Any = SimpleNamespace(transformer=copy.deepcopy(reference))
    subject = Subject(
        model=MODEL, format=FORMATS["nvfp4"], checkpoint="tiny", compile_mode="eager", arithmetic="emulated", pipe=pipe
    )
    with subject.running():
        quantize(pipe.transformer, subject.format, Selection(skip=(), min_features=16, source=""), "emulated")
    subject.linears = quantized_linears(pipe.transformer)
    change(pipe.transformer)
    step = Step(args=(torch.randn(2, 40, 64).bfloat16(),), kwargs={}, outputs=())
    return {layer.name: layer for layer in layer_arithmetic(subject, reference, {0: step}, every=True)}


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
                NVFP4Tensor.to_nvfp4(
                    torch.randn(96, 64).bfloat16(),
                    is_swizzled_scales=True,
                    act_quant_kwargs=first.weight.act_quant_kwargs,
                ),
                requires_grad=False,
            )

    layer = measured(forget)["first"]
    assert layer.activation_loss_db < 0.15
    assert layer.linear_error < 0.006
