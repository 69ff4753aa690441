"""What the software tensor core refuses, and that the message names types, shapes and scale shapes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fixtures.numerics.tensor_core import UnsupportedOperands, software_tensor_core


def refusals() -> list[Any]:
    fp8 = torch.float8_e4m3fn
    a, b = torch.ones(4, 64).to(fp8), torch.ones(16, 64).to(fp8).t()
    e8m0 = torch.full((512,), 127, dtype=torch.uint8).view(torch.float8_e8m0fnu)
    rows = (torch.ones(4, 1), torch.ones(1, 16))
    bf16 = {"out_dtype": torch.bfloat16}
    fp4 = torch.zeros(4, 20, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    e4m3 = torch.ones(512).to(fp8)
    return [
        pytest.param((a.int(), b.int(), *rows), bf16, "known are fp8 elements", id="int"),
        pytest.param((a, b, e8m0, rows[1]), bf16, "known are fp8 elements", id="mixed scales"),
        pytest.param((a, b, e8m0[:128], e8m0), bf16, "scale_a must hold 512 contiguous values", id="untiled scales"),
        pytest.param((a, b, e8m0, e8m0), {}, "the result must be bfloat16, float16 or float32", id="fp8 result"),
        pytest.param((a, b.contiguous(), e8m0, e8m0), bf16, "b column-major", id="b row-major"),
        pytest.param((a, b[:32], e8m0, e8m0), bf16, r"a must be \(M, K\) and b \(K, N\)", id="inner sizes"),
        pytest.param(
            (a, b, *rows[::-1]), bf16, r"fp8 scales must be two single numbers, or \(4, 1\) and \(1, 16\)", id="swapped"
        ),
        pytest.param((fp4, fp4.t(), e4m3, e4m3), bf16, "K = 40 is no multiple of the nvfp4 block of 16", id="ragged K"),
        pytest.param(
            (a, b, *rows), {**bf16, "bias": torch.ones(3).bfloat16()}, "the bias must have 16 values", id="bias"
        ),
        pytest.param(
            (a, b, *rows), {**bf16, "bias": torch.ones(16)}, "the bias must have the type of the result", id="wide bias"
        ),
        pytest.param(
            (a, b, *rows),
            {**bf16, "scale_result": torch.ones(2)},
            "scale_result must be one float32 number",
            id="result",
        ),
    ]


@pytest.mark.parametrize(("operands", "options", "reason"), refusals())
def test_operands_it_does_not_understand_are_refused_by_name(operands: Any, options: Any, reason: str) -> None:
    with (
        software_tensor_core(device_capability=(8, 0)) as core,
        pytest.raises(UnsupportedOperands, match=reason) as refusal,
    ):
        torch._scaled_mm(*operands, **options)
    message = str(refusal.value)
    for tensor in operands:
        assert f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}" in message
    assert not core.calls


def test_an_unswizzled_recipe_is_refused() -> None:
    functional = torch.nn.functional
    elements = torch.ones(128, 128).to(torch.float8_e4m3fn)
    scale = torch.full((512,), 127, dtype=torch.uint8).view(torch.float8_e8m0fnu)
    recipe = functional.ScalingType.BlockWise1x32
    with software_tensor_core(device_capability=(8, 0)), pytest.raises(UnsupportedOperands, match="128x4 tiles"):
        functional.scaled_mm(elements, elements.t(), scale, recipe, scale, recipe)
