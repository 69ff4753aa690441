"""The forecast is the stated arithmetic over counts, and its efficiencies are found again where they are known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fixtures.catalog import FORMATS
from fixtures.catalog.efficiencies import EFFICIENCIES, Efficiencies
from fixtures.catalog.targets import B200, H200
from fixtures.gates.code.forecast import at_batch, call_seconds, speedup
from fixtures.pipelines.device_code.block_code import BlockCode, Kernel, MatrixProduct, Operator
from fixtures.research.forecast.cells import measured
from fixtures.research.forecast.fit import Cell, fitted

BF16, NVFP4 = FORMATS["bf16"], FORMATS["nvfp4"]
KNOWN = Efficiencies(
    bf16=0.5, quantized={"nvfp4": 0.4}, attention=0.3, memory=0.6, launch_s=2e-6, source="made up for this test"
)


def block(*, operator: str, moved: int = 10**9, rows: int = 4096, name: str = "Block") -> BlockCode:
    """A block with one product of [rows, 4096] x [4096, 4096], attention, and a kernel."""
    return BlockCode(
        name=name,
        repeats=10,
        quantized_linears=0,
        kernels=(Kernel(name="k", launches=3, bytes=moved, registers=(1,), stack_bytes=0, target="sm_100a"),),
        products=(MatrixProduct(operator=operator, rows=rows, inner=4096, columns=4096, bytes=2 * 10**7, count=2),),
        operators=(Operator(name="attention", calls=1, bytes=10**8, flops=10**12),),
    )


def test_one_call_is_products_attention_bytes_and_launches() -> None:
    parts = call_seconds([block(operator="_scaled_mm")], NVFP4, B200, KNOWN)
    assert parts.products == pytest.approx(10 * 2 * (2 * 4096**3 / (9e15 * 0.4) + 2e7 / (8e12 * 0.6)))
    assert parts.attention == pytest.approx(10 * 1e12 / (2.25e15 * 0.3))
    assert parts.memory == pytest.approx(10 * 1e9 / (8e12 * 0.6))
    assert parts.launches == pytest.approx(10 * 6 * 2e-6)
    assert parts.seconds == sum((parts.products, parts.attention, parts.memory, parts.launches))
    plain = call_seconds([block(operator="mm")], BF16, B200, KNOWN)
    assert plain.products == pytest.approx(10 * 2 * (2 * 4096**3 / (2.25e15 * 0.5) + 2e7 / (8e12 * 0.6)))


def test_calls_with_two_shapes_count_as_their_mean() -> None:
    both = [block(operator="mm"), block(operator="mm", name="Block 2")]
    one = call_seconds(both[:1], BF16, B200, KNOWN)
    assert call_seconds(both, BF16, B200, KNOWN).seconds == pytest.approx(one.seconds)


def test_a_batch_grows_rows_and_activations_and_not_weights() -> None:
    weights, activations = 2 * 4096 * 4096, 2 * 2 * 4096 * 4096
    whole = replace(block(operator="mm").products[0], bytes=weights + activations)
    (grown,) = at_batch([replace(block(operator="mm"), products=(whole,))], 4)
    assert (grown.products[0].rows, grown.products[0].bytes) == (4 * 4096, weights + 4 * activations)
    assert (grown.kernel_bytes, grown.launches) == (4 * 10**9, block(operator="mm").launches)


def test_more_bytes_lower_the_forecast() -> None:
    reference = [block(operator="mm")]
    some, more = ([block(operator="_scaled_mm", moved=moved)] for moved in (10**9, 2 * 10**9))
    before, after = (speedup(reference, blocks, NVFP4, BF16, B200, EFFICIENCIES) for blocks in (some, more))
    assert after < before


def test_known_efficiencies_are_found_again() -> None:
    cells = []
    for index, (name, operator) in enumerate((("bf16", "mm"), ("nvfp4", "_scaled_mm")) * 6):
        one = block(operator=operator, moved=10**8 * (1 + 3 * index), rows=512 * (1 + index % 5))
        heads = Operator(name="attention", calls=1, bytes=0, flops=10**11 * (1 + index % 4))
        blocks = (replace(one, operators=(heads,), kernels=(replace(one.kernels[0], launches=1 + 40 * (index % 3)),)),)
        seconds = call_seconds(blocks, FORMATS[name], B200, KNOWN).seconds
        cells.append(Cell(model="toy", format=name, batch_size=index, seconds=seconds, calls=1, blocks=blocks))
    found = fitted(cells, B200, ("nvfp4",))
    assert (found.bf16, found.quantized["nvfp4"]) == pytest.approx((0.5, 0.4), rel=0.01)
    assert (found.attention, found.memory) == pytest.approx((0.3, 0.6), rel=0.01)


def test_what_the_document_says_of_six_h200_speedups() -> None:
    """Those that replay CUDA graphs come out high."""
    cells = measured()
    found = fitted(cells, H200, ("fp8",))
    errors = {}
    for bf16, fp8 in zip(cells[0::2], cells[1::2], strict=True):
        said = bf16.forecast(H200, found) / fp8.forecast(H200, found)
        errors[fp8.label] = said / (bf16.seconds / fp8.seconds) - 1
    assert errors.pop("flux1-dev fp8 1") == pytest.approx(0.054, abs=0.001)
    assert errors.pop("qwen-image fp8 1") == pytest.approx(0.051, abs=0.001)
    assert len(errors) == 4
    assert max(map(abs, errors.values())) < 0.035
