"""The independent decode, checked against tables and layouts written out by hand and against ml_dtypes' own codes."""

from __future__ import annotations

import math
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.numerics.codes import E2M1, E8M0, Float64
from fixtures.numerics.decode import (
    decode_operand,
    decode_weight,
    reference_matmul,
    unswizzle,
    values,
)


def tiled(grid: np.ndarray) -> np.ndarray:
    """Scales laid out the long way round: one assignment per scale, offsets as the cuBLAS manual gives them."""
    rows, blocks = grid.shape
    tiles_across = math.ceil(blocks / 4)
    out = np.zeros(math.ceil(rows / 128) * tiles_across * 512, dtype=grid.dtype)
    for outer in range(rows):
        for inner in range(blocks):
            tile = (outer // 128) * tiles_across + inner // 4
            out[tile * 512 + (outer % 32) * 16 + ((outer % 128) // 32) * 4 + inner % 4] = grid[outer, inner]
    return out


def test_fp4_codes_are_those_of_the_standard() -> None:
    codes = np.arange(16, dtype=np.uint8)
    np.testing.assert_array_equal(E2M1, codes.view(ml_dtypes.float4_e2m1fn).astype(np.float64))


def test_e8m0_is_a_power_of_two_and_code_255_is_nan() -> None:
    assert E8M0[127] == 1.0
    assert E8M0[0] == 2.0**-127
    assert E8M0[254] == 2.0**127
    assert math.isnan(E8M0[255])
    np.testing.assert_array_equal(
        E8M0, np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e8m0fnu).astype(np.float64)
    )


@pytest.mark.parametrize("fmt", ["fp8", "mxfp8", "nvfp4"])
def test_rows_that_threads_share_are_decoded_as_by_one(fmt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(5)
    rows, cols, tiles = 77, 128, 2 if fmt == "nvfp4" else 1
    elements = draw.integers(0, 120, (rows, cols // (2 if fmt == "nvfp4" else 1)), dtype=np.uint8)
    scales = (
        draw.random((rows, 1), dtype=np.float32)
        if fmt == "fp8"
        else draw.integers(40, 120, tiles * 512, dtype=np.uint8)
    )

    def decoded() -> Float64:
        return decode_operand(elements, scales, fmt, rows=rows, cols=cols, swizzled=True)

    alone = decoded()
    monkeypatch.setattr("fixtures.numerics.rows.SHARED_FROM", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 5)
    np.testing.assert_array_equal(decoded(), alone)


def test_the_low_nibble_comes_first() -> None:
    elements = np.full((1, 8), 0x71, dtype=np.uint8)  # 1 -> 0.5, 7 -> 6
    scales = np.array([1.0], dtype=ml_dtypes.float8_e4m3fn).view(np.uint8)
    decoded = decode_operand(elements, scales, "nvfp4", rows=1, cols=16, swizzled=False)
    np.testing.assert_array_equal(decoded, [[0.5, 6.0] * 8])


@given(rows=st.integers(1, 300), blocks=st.integers(1, 11))
@settings(deadline=None, max_examples=30)
def test_unswizzle_inverts_the_layout(rows: int, blocks: int) -> None:
    grid = np.arange(rows * blocks, dtype=np.float64).reshape(rows, blocks)
    np.testing.assert_array_equal(unswizzle(tiled(grid), rows, blocks), grid)


def test_sizes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="100 scales are not the 512 of whole 128x4 tiles over 3 x 2"):
        unswizzle(np.zeros(100), 3, 2)
    with pytest.raises(ValueError, match="nvfp4: 32 elements do not fill 2 x 32"):
        decode_operand(np.zeros(16, np.uint8), np.zeros(4, np.uint8), "nvfp4", rows=2, cols=32, swizzled=False)
    with pytest.raises(ValueError, match="mxfp8: 48 columns are no multiple of the block of 32"):
        decode_operand(np.zeros(48, np.uint8), np.zeros(2, np.uint8), "mxfp8", rows=1, cols=48, swizzled=False)
    with pytest.raises(ValueError, match="unknown format 'fp5'"):
        decode_operand(np.zeros(1, np.uint8), np.zeros(1, np.uint8), "fp5", rows=1, cols=1, swizzled=False)


def test_values_reads_each_float_type_from_its_bytes() -> None:
    numbers = [0.0, -1.5, 448.0, 2.0**-9]
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float64):
        np.testing.assert_array_equal(values(torch.tensor(numbers).to(dtype)), numbers)
    assert np.isnan(values(torch.tensor([255], dtype=torch.uint8).view(torch.float8_e8m0fnu)))


def test_a_weight_is_read_under_old_and_new_attribute_names() -> None:
    elements = torch.tensor([[0x38, 0x40] * 16, [0x30, 0xB8] * 16], dtype=torch.uint8).view(torch.float8_e4m3fn)
    scale = torch.tensor([[128], [126]], dtype=torch.uint8).view(torch.float8_e8m0fnu)
    wanted = [[2.0, 4.0] * 16, [0.25, -0.5] * 16]
    np.testing.assert_array_equal(decode_weight(SimpleNamespace(qdata=elements, scale=scale)), wanted)
    np.testing.assert_array_equal(decode_weight(SimpleNamespace(_data=elements, _scale_e8m0=scale)), wanted)


def test_fp8_scales_of_tensors_rows_and_blocks_are_spread() -> None:
    elements = torch.ones(2, 4).to(torch.float8_e4m3fn)
    for scale in (torch.tensor(2.0), torch.tensor([[2.0], [3.0]]), torch.tensor([[2.0, 5.0], [3.0, 7.0]])):
        decoded = decode_weight(SimpleNamespace(qdata=elements, scale=scale))
        assert decoded[0, 0] == 2.0
        assert decoded[1, 3] == scale.reshape(-1)[-1]


def test_a_tensor_of_no_known_format_is_refused() -> None:
    with pytest.raises(ValueError, match="Tensor is no two-dimensional quantized weight"):
        decode_weight(torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"torch.uint8 elements with torch.float32 scales name no format"):
        decode_weight(SimpleNamespace(qdata=torch.zeros(2, 2, dtype=torch.uint8), scale=torch.ones(2, 1)))


def test_the_reference_multiplies_scales_biases_and_result_scale() -> None:
    call = SimpleNamespace(
        kind="fp8",
        a=torch.ones(2, 16).to(torch.float8_e4m3fn),
        b=torch.ones(3, 16).to(torch.float8_e4m3fn).t(),
        scale_a=torch.tensor([[1.0], [2.0]]),
        scale_b=torch.tensor([[1.0, 10.0, 100.0]]),
        global_a=torch.tensor(0.5),
        global_b=None,
        bias=torch.tensor([1.0, 2.0, 3.0]).bfloat16(),
        scale_result=torch.tensor(2.0),
    )
    np.testing.assert_array_equal(reference_matmul(call), [[18.0, 164.0, 1606.0], [34.0, 324.0, 3206.0]])


@pytest.mark.parametrize("format", ["fp8", "mxfp8", "nvfp4"])
def test_tiles_of_rows_are_the_rows_of_the_whole(format: str) -> None:
    from fixtures.catalog import FORMATS
    from fixtures.catalog.schema import Selection
    from fixtures.numerics.decode import decode_operands, decode_right, decode_tiles
    from fixtures.numerics.tensor_core import Multiplication, software_tensor_core
    from fixtures.pipelines.quantize import quantize

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(96, 64, dtype=torch.bfloat16))
    seen: list[Multiplication] = []
    with torch.inference_mode(), software_tensor_core(device="cpu") as core, core.capture(seen.append):
        quantize(module, FORMATS[format], Selection(skip=(), min_features=1, source="test"), "emulated")
        module(torch.randn(300, 96, dtype=torch.bfloat16) * torch.arange(1, 301)[:, None].to(torch.bfloat16))
    (call,) = seen
    left, right = decode_operands(call)
    assert np.array_equal(decode_tiles(call, [0, 1, 2]), left)
    assert np.array_equal(decode_tiles(call, [0, 2]), np.concatenate([left[:128], left[256:]]))
    assert np.array_equal(decode_right(call), right)
