"""The oracle accepts what the format's rules give and what float32 cannot tell from it, and nothing else."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.numerics.decode import unswizzle
from fixtures.numerics.quantizer_oracle import (
    nvfp4_blocks,
    padded_size,
    places_of,
    scale_places,
    to_e2m1,
    to_e4m3,
)

sizes = st.lists(st.floats(0, 400, allow_subnormal=False), min_size=1, max_size=40).map(np.array)


@given(sizes)
def test_rounding_is_that_of_the_types(values: np.ndarray) -> None:
    once = values.astype(np.float32)
    assert (to_e4m3(once.astype(np.float64)) == once.astype(ml_dtypes.float8_e4m3fn).astype(np.float64)).all()
    small = np.minimum(once, 6)
    assert (to_e2m1(small.astype(np.float64)) == small.astype(ml_dtypes.float4_e2m1fn).astype(np.float64)).all()


@given(rows=st.integers(1, 300), blocks=st.integers(1, 9))
def test_scales_lie_where_the_other_reading_looks_for_them(rows: int, blocks: int) -> None:
    stored = np.full(padded_size(rows, blocks), np.nan)
    stored[scale_places(rows, blocks)] = np.arange(rows * blocks).reshape(rows, blocks)
    assert (unswizzle(stored, rows, blocks) == np.arange(rows * blocks).reshape(rows, blocks)).all()
    assert places_of(rows - 1, blocks - 1, blocks) < stored.size


def block(*first: float) -> np.ndarray:
    """One block whose largest magnitude is 6, after `first`."""
    return np.array([[*first, *([1.0] * (15 - len(first))), 6.0]])


@pytest.mark.parametrize(("code", "right"), [(2.0, True), (3.0, False), (-2.0, False), (1.5, False)])
def test_tie_has_one_right_code_where_float32_loses_nothing(code: float, right: bool) -> None:
    elements = block(code)
    judged = nvfp4_blocks(block(2.5), whole=1.0, scales=np.array([[1.0]]), elements=elements)
    assert bool(judged.wrong_elements) is not right
    assert not judged.wrong_scales.any()
    assert not judged.undecided.any()


def test_tie_is_left_open_where_float32_rounds() -> None:
    whole = 1.0 / 3
    for code in (2.0, 3.0):
        elements = block(code)
        judged = nvfp4_blocks(block(2.5) * whole, whole=whole, scales=np.array([[1.0]]), elements=elements)
        assert judged.undecided.all()
        assert not judged.wrong_elements.any() or code not in (2.0, 3.0)


@pytest.mark.parametrize(("least", "scale"), [(0.0, 0.0), (2.0**-9, 2.0**-9), (2.0**-6, 2.0**-6)])
def test_small_blocks_follow_the_floor_of_their_quantizer(least: float, scale: float) -> None:
    x = block() * 2.0**-12
    elements = block() * 0 + (x > 0) * to_e2m1(x / scale if scale else x * 0)
    for given_ in (0.0, 2.0**-9, 2.0**-6):
        judged = nvfp4_blocks(x, whole=1.0, scales=np.array([[given_]]), elements=elements, least_scale=least)
        assert bool(judged.wrong_scales) is (given_ != scale)
        assert judged.small.all()
