"""Inline PTX is interpreted as NVIDIA's manual says, and what is not known is refused by name."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.numerics.ptx import UnknownPtx, e2m1, e8m0_rounded_up, run

floats = st.lists(st.floats(width=32), min_size=1, max_size=40).map(lambda found: np.array(found, dtype=np.float32))
PAIR = "{ .reg .b8 a, b; cvt.rn.satfinite.e2m1x2.f32 a, $3, $1; cvt.rn.satfinite.e2m1x2.f32 b, $4, $2; "
PAIR += "mov.b16 $0, {a, b}; }"


@given(floats)
def test_e2m1_rounds_to_nearest_even_and_saturates(values: np.ndarray) -> None:
    finite = np.clip(np.nan_to_num(values), -6, 6)
    assert (e2m1(finite) == finite.astype(ml_dtypes.float4_e2m1fn).view(np.uint8) & 15).all()
    assert set(e2m1(values[~(np.abs(values) <= 6)]) & 7) <= {7}
    assert set(e2m1(values[np.isnan(values)])) <= {7}, "NaN becomes the largest number"


@given(floats)
def test_scales_round_up_to_powers_of_two(values: np.ndarray) -> None:
    sizes = np.abs(values[np.isfinite(values)]).astype(np.float64)
    codes = e8m0_rounded_up(sizes.astype(np.float32), saturates=True).astype(np.float64)
    assert (sizes <= np.where(codes == 254, np.inf, np.exp2(codes - 127))).all()
    assert ((codes == 0) | (sizes > np.exp2(codes - 128))).all(), "and to no larger one than needed"


def test_satfinite_decides_what_infinity_becomes() -> None:
    odd = np.array([np.inf, np.nan, 2.0**127, 3.0e38, 0.0], dtype=np.float32)
    assert e8m0_rounded_up(odd, saturates=True).tolist() == [254, 255, 254, 254, 0]
    assert e8m0_rounded_up(odd, saturates=False).tolist() == [255, 255, 254, 255, 0]


def test_registers_are_bound_as_triton_packs_them() -> None:
    low, high = np.array([0.5, 1, 1.5, 2], dtype=np.float32), np.array([3, 4, 6, -0.5], dtype=np.float32)
    packed = run(PAIR, "=h,r,r,r,r", [low, high], np.uint8, pack=2)
    assert packed.tolist() == [0x51, 0x62, 0x73, 0x94]
    scale = run("cvt.rp.satfinite.ue8m0x2.f32 $0, 0.0, $1;", "=h,r", [low], np.uint16)
    assert scale.tolist() == [126, 127, 128, 128]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ex2.approx.f32 $0, $1;", "instruction 'ex2.approx.f32 \\$0, \\$1'"),
        ("cvt.rn.e2m1x2.f32 $0, $1, $1;", "instruction 'cvt.rn.e2m1x2"),
        ("cvt.rp.ue8m0x2.f32 $0, tmp, $1;", "operand 'tmp' holds nothing"),
    ],
)
def test_what_is_not_known_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(UnknownPtx, match=said):
        run(text, "=h,r", [np.ones(2, dtype=np.float32)], np.uint16)
