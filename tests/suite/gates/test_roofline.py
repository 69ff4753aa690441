"""The bounds are the stated arithmetic over honestly counted work, and nothing published or asked for exceeds them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from fixtures.catalog import FORMATS, models
from fixtures.catalog.limits import Limits
from fixtures.catalog.schema import Model
from fixtures.catalog.targets import B200
from fixtures.gates.base import conclude
from fixtures.gates.context import Context
from fixtures.gates.roofline import GATE, published_work
from fixtures.gates.roofline.counting import count, count_call
from fixtures.gates.roofline.gate import RooflineResult
from fixtures.gates.roofline.work import Product, Work, bound
from fixtures.gates.verdict import Verdict, settle
from tests.suite.contexts import UNRECORDED, context, tiny

MODELS = models()
EVERY_MODEL = pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
MXFP8, NVFP4, BF16 = FORMATS["mxfp8"], FORMATS["nvfp4"], FORMATS["bf16"]


def of_published(model: str, format: str = "fp8", *, batch_size: int = 1) -> Context:
    """The published architecture, whose work is counted once in this process."""
    case = tiny(format, model=model, batch_size=batch_size, checkpoint="meta")
    return context(case)


def work_of(name: str) -> Work:
    return published_work(of_published(name))


def product(*, rows: int, width: int = 1024, quantized: bool = True) -> Product:
    return Product(name="linear", rows=rows, in_features=width, out_features=width, quantized=quantized)


WORKS = st.builds(
    lambda sizes, other: Work(
        products=tuple(product(rows=rows, quantized=quantized) for rows, quantized in sizes), other_flops=other
    ),
    st.lists(st.tuples(st.integers(1, 10_000), st.booleans()), min_size=1, max_size=8),
    st.integers(0, 10**13),
)


@pytest.mark.parametrize(
    ("format_name", "flops", "traffic"), [("mxfp8", 1.67, 1.41), ("nvfp4", 2.50, 2.06)], ids=["mxfp8", "nvfp4"]
)
def test_flux_is_bounded_as_designed(format_name: str, flops: float, traffic: float) -> None:
    found = bound(work_of("flux1-dev"), FORMATS[format_name])
    assert round(found.flops, 2) == flops
    assert round(found.traffic, 2) == traffic


@EVERY_MODEL
def test_published_speedups_and_floors_stay_below_their_bounds(model: Model) -> None:
    for (name, batch_size), cell in model.published.items():
        if cell.speedup is not None:
            found = conclude(GATE, of_published(model.name, name, batch_size=batch_size))
            assert found.judgement.verdict is Verdict.PASS, found.judgement.message
            assert [check.name for check in found.judgement.checks] == ["speedup floor", "published speedup"]
            assert found.result.bound_traffic < found.result.bound_flops


@EVERY_MODEL
def test_speedup_floors_stay_below_publication(model: Model) -> None:
    floors = [limit for limit in model.limits if limit.gate == "speed" and limit.quantity == "speedup"]
    measured, floors = ([limit for limit in floors if ("hub" in limit.checkpoints) is hub] for hub in (False, True))
    cells = {cell for cell, published in model.published.items() if published.speedup is not None}
    assert {(limit.formats[0], limit.batch_sizes[0]) for limit in floors} == cells
    assert len(floors) == len(cells) == 6
    for limit in floors:
        (name,), (batch_size,) = limit.formats, limit.batch_sizes
        published = model.published[name, batch_size].speedup
        assert limit.floor is not None
        assert published is not None
        assert 1 < limit.floor <= published
        assert str(published) in limit.source
    # What a GPU at hand showed, at full size with random weights.
    assert {(limit.formats, limit.checkpoints, limit.machines) for limit in measured} == {
        (("fp8",), ("random",), ("hopper",))
    }
    for limit in measured:
        assert limit.floor is not None
        assert 1 < limit.floor < bound(work_of(model.name).scaled(limit.batch_sizes[0]), FORMATS["fp8"]).traffic


@EVERY_MODEL
def test_published_bf16_seconds_are_slower_than_peak_rate(model: Model) -> None:
    """Steps x guidance branches x FLOPs at the datasheet's rate: a wrong call count or resolution shows here."""
    for batch_size in model.compile_modes:
        peak = bound(work_of(model.name).scaled(batch_size), BF16).bf16_seconds
        seconds = peak * model.samplings["hub"].denoiser_calls
        assert 0.3 < seconds / model.published["bf16", batch_size].seconds < 0.7, batch_size


@EVERY_MODEL
def test_published_speedups_are_the_ratio_of_the_published_seconds(model: Model) -> None:
    for (_, batch_size), cell in model.published.items():
        if cell.speedup is not None:
            assert model.published["bf16", batch_size].seconds / cell.seconds == pytest.approx(cell.speedup, abs=0.011)


@EVERY_MODEL
def test_every_selected_linear_is_counted_once(model: Model) -> None:
    """So the count of block-scaled products in one denoiser call equals the count of quantized Linears."""
    names = [product.name for product in work_of(model.name).products if product.quantized]
    assert len(names) == len(set(names)) == model.quantized_linears


def test_a_larger_batch_is_the_scaled_count() -> None:
    assert count(MODELS["flux1-dev"], 4) == work_of("flux1-dev").scaled(4)


def test_counting_agrees_with_torchs_own_counter() -> None:
    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = torch.nn.Linear(64, 192)
            self.out = torch.nn.Linear(64, 64, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.qkv(x).unflatten(-1, (3, 4, 16)).permute(2, 0, 3, 1, 4)
            attended = torch.nn.functional.scaled_dot_product_attention(q, k, v)
            return torch.as_tensor(self.out(attended.transpose(1, 2).flatten(2)))

    with torch.device("meta"):
        block, x = Block(), torch.empty(2, 10, 64)
    work = count_call(block, lambda name, linear: name == "out", lambda: block(x))
    assert work.products == (
        Product(name="qkv", rows=20, in_features=64, out_features=192, quantized=False),
        Product(name="out", rows=20, in_features=64, out_features=64, quantized=True),
    )
    assert work.other_flops == 2 * 2 * (2 * 4 * 10 * 10 * 16)  # batch x heads x tokens x tokens x width, twice
    with torch.no_grad(), FlopCounterMode(display=False) as theirs:
        block(x)
    assert work.flops == theirs.get_total_flops()
    assert not block.qkv._forward_pre_hooks


def test_bound_of_hand_made_work() -> None:
    gpu = dataclasses.replace(B200, name="round numbers", bf16_flops=2.0 * 1024**2, bytes_per_second=1024.0)
    work = Work(products=(product(rows=3), product(rows=1, quantized=False)), other_flops=0)
    found = bound(work, NVFP4, gpu)
    assert found.bf16_seconds == 4.0
    assert found.flops == pytest.approx(4 / (1 + 3 / 4))
    # 3 x 1024 values: 2 bytes read, 4.5 bits written and read again
    assert found.traffic == pytest.approx(4 / (1 + 3 / 4 + 3 * (2 + 2 * 4.5 / 8)))


@given(WORKS)
def test_bounds_are_ordered_and_within_the_formats_rate(work: Work) -> None:
    for fmt in FORMATS.values():
        found = bound(work, fmt)
        assert found.traffic <= found.flops <= fmt.flops_per_bf16_flop * (1 + 1e-12)
        assert found.flops >= 1 - 1e-12


@given(WORKS)
def test_the_reference_gains_nothing(work: Work) -> None:
    found = bound(work, BF16)
    assert found.flops == found.traffic == pytest.approx(1)


@given(WORKS, st.integers(2, 16))
def test_bounds_do_not_depend_on_the_batch_size(work: Work, batch_size: int) -> None:
    one, many = bound(work, MXFP8), bound(work.scaled(batch_size), MXFP8)
    assert many.traffic == pytest.approx(one.traffic)
    assert many.bf16_seconds == pytest.approx(one.bf16_seconds * batch_size)


def test_no_work_has_no_bound() -> None:
    with pytest.raises(ValueError, match="no matrix product was counted"):
        bound(Work(products=(), other_flops=0), MXFP8)


@given(floors=st.lists(st.floats(1, 3), max_size=3), published=st.none() | st.floats(1, 3))
def test_only_promises_below_the_bound_pass(floors: list[float], published: float | None) -> None:
    now = RooflineResult(bound_flops=2.5, bound_traffic=2.0, floors=floors, published=published)
    promised = [*floors, *([] if published is None else [published])]
    checks = GATE.judge(now, Limits(), UNRECORDED)
    assert (settle(checks).verdict is Verdict.PASS) == all(value <= 2.0 for value in promised)
    assert len(checks) == max(1, len(promised)), "the bound itself is judged where nobody promises"
