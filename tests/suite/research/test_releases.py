"""The page of what releases did: equal numbers share a row, and what has no code says why."""

from __future__ import annotations

from dataclasses import replace

from fixtures.catalog import models
from fixtures.pipelines.device_code.block_code import BlockCode, Kernel, MatrixProduct
from fixtures.research.releases import PAGE, StackCode, page

KERNEL = Kernel(name="k", launches=1, bytes=1_000_000, registers=(40, 32), stack_bytes=0, target="sm_100a")
PRODUCT = MatrixProduct(operator="mm", rows=128, inner=128, columns=128, bytes=1000, count=1)
BLOCK = BlockCode(name="Block", repeats=2, quantized_linears=0, kernels=(KERNEL,), products=(PRODUCT,), operators=())
MORE = replace(BLOCK, kernels=(KERNEL, KERNEL))


def stack(torch: str, mxfp8: BlockCode | None) -> StackCode:
    formats = {"bf16": [BLOCK]} | ({"mxfp8": [mxfp8]} if mxfp8 else {})
    broken = {} if mxfp8 else {"flux1-dev": {"mxfp8": "PrivateNameMoved: gone"}}
    return StackCode(versions={"torch": torch}, code={"flux1-dev": formats}, broken=broken)


def test_equal_numbers_share_a_row_and_what_has_no_code_says_why() -> None:
    said = page({"pinned": stack("2.14.1", BLOCK), "new": stack("2.15.0+cu132", MORE), "old": stack("2.1.0", None)})
    assert "| new | 2.15.0 |" in said
    assert "| Block | bf16 | pinned, new, old | 1 | 2 | 1.0 | 32 | 0 |  |  |" in said
    assert "| Block | mxfp8 | pinned | 1 | 2 | 1.0 | 32 | 0 |  | 1.000x |" in said
    assert "| Block | mxfp8 | new | 2 | 3 | 2.0 | 32 | 0 |  | 0." in said
    assert "- old, mxfp8: no code (PrivateNameMoved: gone)." in said


def test_the_committed_page_tells_of_every_model() -> None:
    said = PAGE.read_text(encoding="utf-8")
    assert all(f"### {model}" in said for model in models())
