"""Tiles pass only where several were joined, in their places and without a seam."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalog.limits import Limits
from fixtures.gates.tiling import GATE, OFF_BY, SEAM, TilingResult
from fixtures.gates.verdict import Verdict, settle
from fixtures.pipelines.tiling import join_tiles
from tests.suite.contexts import UNRECORDED


@given(tiles=st.integers(0, 9), off_by=st.floats(0, 1e-4), seam=st.floats(0, 1))
def test_only_several_tiles_in_their_places_without_a_seam_pass(tiles: int, off_by: float, seam: float) -> None:
    now = TilingResult(tiles=tiles, off_by=off_by, seam=seam)
    healthy = tiles >= 2 and off_by <= OFF_BY and seam <= SEAM
    assert (settle(GATE.judge(now, Limits(), UNRECORDED)).verdict is Verdict.PASS) == healthy


def test_an_autoencoder_without_tiling_is_skipped_with_its_reason() -> None:
    assert join_tiles(object(), height=64, width=64) is None
    (said,) = GATE.judge(TilingResult(), Limits(), UNRECORDED)
    assert (said.verdict, said.note) == (Verdict.SKIP, "this autoencoder knows no tiling")
