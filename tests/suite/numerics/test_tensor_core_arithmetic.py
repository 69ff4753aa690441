"""The software tensor core multiplies as its contract says, measured against the independent float64 decode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from fixtures.numerics.decode import reference_matmul, values
from fixtures.numerics.tensor_core import Multiplication, software_tensor_core
from tests.suite.tensor_core_cases import BLOCK, DEVICES, finite_codes, finite_scales, operand

KINDS = ["mxfp8", "nvfp4", "mxfp4"]
LARGEST = {"mxfp8": 0x7E, "nvfp4": 7, "mxfp4": 7}
SMALLEST = {"mxfp8": 0x01, "nvfp4": 1, "mxfp4": 1}
ONE = {"mxfp8": 127, "nvfp4": 0x38, "mxfp4": 127}
UNIT_ROUNDOFF = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11, torch.float32: 0.0}
TINY = {torch.bfloat16: 2.0**-133, torch.float16: 2.0**-24, torch.float32: 2.0**-149}


def multiply(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], **extra: Any) -> Multiplication:
    """One call through `torch._scaled_mm`; `b` is given as (N, K)."""
    seen: list[Multiplication] = []
    with software_tensor_core(device_capability=(8, 0)) as core, core.capture(seen.append):
        options: dict[str, Any] = {"out_dtype": torch.bfloat16, **extra}
        torch._scaled_mm(a[0], b[0].t(), a[1], b[1], **options)
    return seen[0]


def assert_within_float32_accumulation(call: Multiplication) -> None:
    """The result is the reference, but for float32 sums over K and one rounding; NaN where the reference is NaN."""
    exact = reference_matmul(call)
    with np.errstate(over="ignore", invalid="ignore"):
        magnitude = reference_matmul(Magnitudes(call))
    got = values(call.result)
    top = float(torch.finfo(call.out_dtype).max)
    np.testing.assert_array_equal(np.isnan(got) & ~np.isnan(exact) & (magnitude < top), False)
    assert np.isnan(got[np.isnan(exact)]).all()
    inside = magnitude < top
    slack = (call.inner + 4) * (2.0**-24 * magnitude + 2.0**-149) + TINY[call.out_dtype]
    allowed = slack + UNIT_ROUNDOFF[call.out_dtype] * (np.abs(exact) + slack)
    assert (np.abs(got - exact)[inside] <= allowed[inside]).all()
    assert not np.isfinite(got[np.abs(exact) > 2 * top]).any()


class Magnitudes:
    """The same call with every sign removed: the sum that bounds its rounding errors."""

    def __init__(self, call: Multiplication) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._call, name)
        if not isinstance(value, Tensor):
            return value
        if value.dtype == torch.float4_e2m1fn_x2:
            return (value.view(torch.uint8) & 0x77).view(value.dtype)
        if value.dtype in {torch.float8_e4m3fn, torch.float8_e5m2}:
            return (value.view(torch.uint8) & 0x7F).view(value.dtype)
        return value if value.dtype == torch.float8_e8m0fnu else value.abs()


def random_call(kind: str, m: int, n: int, blocks: int, seed: int, device: str = "cpu", **extra: Any) -> Multiplication:
    rng = np.random.default_rng(seed)
    k = blocks * BLOCK[kind]
    a, b = (
        operand(finite_codes(rng, kind, (rows, k)), finite_scales(rng, kind, (rows, blocks)), kind, device)
        for rows in (m, n)
    )
    return multiply(a, b, **extra)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
@given(m=st.integers(1, 260), n=st.integers(1, 140), blocks=st.integers(1, 10), seed=st.integers(0, 2**32 - 1))
@example(m=1, n=1, blocks=1, seed=0)
@example(m=129, n=128, blocks=5, seed=1)
@settings(deadline=None, max_examples=12)
def test_random_operands_of_any_shape(kind: str, device: str, m: int, n: int, blocks: int, seed: int) -> None:
    assert_within_float32_accumulation(random_call(kind, m, n, blocks, seed, device))


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=12)
def test_every_code_of_elements_and_scales_may_occur(kind: str, seed: int) -> None:
    """NaN codes and scales at both ends of e8m0 included."""
    rng = np.random.default_rng(seed)
    codes = 16 if kind != "mxfp8" else 256
    a, b = (
        operand(
            rng.integers(0, codes, (rows, 3 * BLOCK[kind]), dtype=np.uint8),
            rng.choice(np.array([0, 1, 120, 127, 130, 253, 254, 255, 127, 127], dtype=np.uint8), (rows, 3)),
            kind,
        )
        for rows in (9, 7)
    )
    assert_within_float32_accumulation(multiply(a, b))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", ["zero", "largest", "smallest"])
def test_operands_at_the_ends_of_the_range(kind: str, code: str, device: str) -> None:
    value = {"zero": 0, "largest": LARGEST[kind], "smallest": SMALLEST[kind]}[code]
    k = 4 * BLOCK[kind]
    scales = {"zero": 0, "largest": 0x7E if kind == "nvfp4" else 180, "smallest": 1 if kind == "nvfp4" else 70}[code]
    a, b = (operand(np.full((rows, k), value), np.full((rows, 4), scales), kind, device) for rows in (5, 16))
    call = multiply(a, b, out_dtype=torch.float32)
    assert_within_float32_accumulation(call)
    assert bool(call.result.any()) is (code != "zero")


@pytest.mark.parametrize("kind", KINDS)
def test_one_outlier_in_each_block_keeps_its_neighbours(kind: str) -> None:
    rng = np.random.default_rng(7)
    block = BLOCK[kind]
    codes = np.full((33, 6 * block), SMALLEST[kind], dtype=np.uint8)
    for row in range(33):
        codes[row, np.arange(6) * block + rng.integers(0, block, 6)] = LARGEST[kind]
    a = operand(codes, finite_scales(rng, kind, (33, 6)), kind)
    b = operand(codes[:16], finite_scales(rng, kind, (16, 6)), kind)
    assert_within_float32_accumulation(multiply(a, b, out_dtype=torch.float32))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_inner_size_is_one_block(kind: str, device: str) -> None:
    assert_within_float32_accumulation(random_call(kind, 3, 16, 1, 11, device))


def test_scales_of_one_row_or_block_touch_nothing_else() -> None:
    """Each single scale of a 200 x 6 grid, doubled, doubles just its own products."""
    for row, block in [(0, 0), (31, 3), (32, 0), (127, 5), (128, 4), (199, 5)]:
        scales = np.full((200, 6), 127)
        scales[row, block] = 128
        a = operand(np.full((200, 192), 0x38), scales, "mxfp8")
        b = operand(np.full((16, 192), 0x38), np.full((16, 6), 127), "mxfp8")
        result = values(multiply(a, b).result)
        assert (result[row] == 192 + 32).all()
        assert (np.delete(result, row, axis=0) == 192).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("out_dtype", [torch.bfloat16, torch.float16])
def test_bias_and_result_scale_enter_before_the_rounding(kind: str, out_dtype: torch.dtype, device: str) -> None:
    bias = torch.linspace(-300, 300, 16, device=device).to(out_dtype)
    scale = torch.tensor(0.37, device=device)
    assert_within_float32_accumulation(
        random_call(kind, 40, 16, 4, 3, device, bias=bias, scale_result=scale, out_dtype=out_dtype)
    )


def test_there_is_one_rounding_only() -> None:
    """257 is no bfloat16: rounded to 256 before a bias of 0.75 the sum would end at 256, in one rounding at 258."""
    ones = np.full((1, 32), 0x38)
    a = operand(ones * 0 + np.array([0x48] + [0x38] * 31), np.full((1, 1), 130), "mxfp8")  # 8 * (4 + 31 * 1)
    b = operand(ones, np.full((1, 1), 127), "mxfp8")
    total = 8 * 35
    assert float(multiply(a, b, out_dtype=torch.float32).result) == total
    a = operand(np.array([[0x38, 0x78] + [0] * 30]), np.full((1, 1), 127), "mxfp8")  # 1 + 256
    assert float(multiply(a, b).result) == 256
    assert float(multiply(a, b, bias=torch.tensor([0.75]).bfloat16()).result) == 258


@pytest.mark.parametrize("scales", ["tensor", "row"])
@pytest.mark.parametrize("elements", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_fp8_with_scales_of_tensor_and_rows(scales: str, elements: torch.dtype) -> None:
    torch.manual_seed(5)
    a, b = torch.randn(37, 48).to(torch.float8_e4m3fn), torch.randn(32, 48).to(elements)
    by_row = (torch.rand(37, 1) + 0.01, torch.rand(1, 32) + 0.01)
    scale_a, scale_b = by_row if scales == "row" else (torch.tensor(0.3), torch.tensor(7.0))
    assert_within_float32_accumulation(multiply((a, scale_a), (b, scale_b), bias=torch.randn(32).bfloat16()))


@pytest.mark.parametrize("device", DEVICES)
def test_two_level_scales_through_the_public_function(device: str) -> None:
    """`torch.nn.functional.scaled_mm` gives NVFP4 its global scales as second entries of the scale lists."""
    functional = torch.nn.functional
    recipe = [functional.ScalingType.BlockWise1x16, functional.ScalingType.TensorWise]
    swizzle = [functional.SwizzleType.SWIZZLE_32_4_4, functional.SwizzleType.NO_SWIZZLE]
    rng = np.random.default_rng(2)
    a, b = (
        operand(finite_codes(rng, "nvfp4", (r, 64)), finite_scales(rng, "nvfp4", (r, 4)), "nvfp4", device)
        for r in (20, 16)
    )
    wholes = [torch.tensor(value, device=device) for value in (0.01, 3.0)]
    seen: list[Multiplication] = []
    with software_tensor_core(device_capability=(8, 0)) as core, core.capture(seen.append):
        functional.scaled_mm(
            a[0],
            b[0].t(),
            scale_a=[a[1], wholes[0]],
            scale_recipe_a=recipe,
            scale_b=[b[1], wholes[1]],
            scale_recipe_b=recipe,
            swizzle_a=swizzle,
            swizzle_b=swizzle,
        )
    assert core.calls == {"nvfp4": 1}
    assert_within_float32_accumulation(seen[0])
