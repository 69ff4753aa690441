"""Properties of the arithmetic gate's decision: the worst layer decides, and one that made no matmul fails."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence
from typing import Any, cast

from hypothesis import assume, given
from hypothesis import strategies as st

from fixtures.catalog.limits import Limits
from fixtures.catalog.schema import Limit
from fixtures.gates.arithmetic.gate import (
    FEW_VALUES_DB,
    GATE,
    MANY_VALUES,
    ArithmeticKept,
    ArithmeticResult,
    where_it_starts,
)
from fixtures.gates.arithmetic.layer import LayerArithmetic
from fixtures.gates.base import Missing, conclude
from fixtures.gates.verdict import Cause, Check, Verdict, errored, failed, settle, skipped
from fixtures.results.records import GateRecord
from tests.suite.contexts import Stored, context, tiny
from tests.suite.linears import linear

FLOORS = {"weight": 15.0, "activation": 16.0}
CEILINGS = {"product": 0.004, "linear": 0.008, "weight loss": 0.3, "activation loss": 0.4}
LIMITS = Limits(
    entries=tuple(
        Limit(
            gate="arithmetic",
            quantity=quantity,
            unit="dB",
            source="a test's own",
            floor=FLOORS.get(quantity),
            ceiling=CEILINGS.get(quantity),
        )
        for quantity in (*FLOORS, *CEILINGS)
    )
)


def healthy(layer: LayerArithmetic) -> bool:
    """Whether each of its numbers lies within its limit."""
    return (
        layer.weight_db >= 15.0
        and layer.activation_db >= (16.0 if layer.activation_values >= MANY_VALUES else 16.0 - FEW_VALUES_DB)
        and layer.product_error <= 0.004
        and layer.linear_error <= 0.008
        and layer.weight_loss_db <= 0.3
        and layer.activation_loss_db <= 0.4
        and not layer.padding
        and not layer.oddity
        and layer.matmuls == 1
    )


layers = st.lists(
    st.builds(
        linear,
        name=st.text("ab.", min_size=1, max_size=4),
        weight_db=st.floats(10, 25),
        activation_db=st.floats(10, 25),
        product_error=st.floats(0, 0.01),
        linear_error=st.floats(0, 0.02),
        activation_values=st.sampled_from([64, MANY_VALUES - 1, MANY_VALUES, 100_000]),
        weight_loss_db=st.floats(-0.5, 0.5),
        activation_loss_db=st.floats(-0.5, 0.5),
        padding=st.sampled_from([0, 0, 0, 7]),
        oddity=st.sampled_from(["", "", "", "changes its input"]),
        matmuls=st.sampled_from([1, 1, 1, 1, 0, 2]),
    ),
    min_size=1,
    max_size=5,
)
NUMBERS = ("weight_db", "activation_db", "product_error", "linear_error", "weight_loss_db", "activation_loss_db")


def checks(found: Sequence[LayerArithmetic], without: Collection[str] = ()) -> list[Check]:
    """What the gate says of these layers."""
    before = Missing(reason="it judges nothing", cause=Cause.NO_BASELINE)
    return GATE.judge(ArithmeticResult(layers=list(found)), LIMITS.without(without), before)


def verdict(found: Sequence[LayerArithmetic], without: Collection[str] = ()) -> Verdict:
    """The same in a word."""
    return settle(checks(found, without)).verdict


@given(found=layers)
def test_the_gate_is_green_only_when_every_layer_is_healthy(found: list[LayerArithmetic]) -> None:
    assert (verdict(found) is Verdict.PASS) == all(map(healthy, found))


@given(found=layers, place=st.integers(0, 4), number=st.sampled_from(NUMBERS))
def test_one_number_that_is_none_never_passes(found: list[LayerArithmetic], place: int, number: str) -> None:
    index = place % len(found)
    assume(found[index].matmuls == 1)
    for value in (math.nan, math.inf, -math.inf):
        broken = [*found[:index], found[index].model_copy(update={number: value}), *found[index + 1 :]]
        assert verdict(broken) is not Verdict.PASS


@given(found=layers, place=st.integers(0, 4), number=st.sampled_from(NUMBERS), change=st.floats(0, 1))
def test_a_layer_that_gets_worse_makes_nothing_greener(
    found: list[LayerArithmetic], place: int, number: str, change: float
) -> None:
    index = place % len(found)
    worse_by = change * (0.01 if "error" in number else 0.5 if "loss" in number else -10)
    worse = found[index].model_copy(update={number: getattr(found[index], number) + worse_by})
    after = verdict([*found[:index], worse, *found[index + 1 :]])
    assert verdict(found) is Verdict.PASS or after is not Verdict.PASS


@given(found=layers)
def test_the_message_names_the_worst_layer(found: list[LayerArithmetic]) -> None:
    named = [layer.model_copy(update={"name": f"layer-{index}", "matmuls": 1}) for index, layer in enumerate(found)]
    worst = max(named, key=lambda layer: layer.linear_error)
    assume([layer.linear_error for layer in named].count(worst.linear_error) == 1)
    (check,) = (check for check in checks(named) if check.name == "linear")
    assert check.value == worst.linear_error
    assert check.note.endswith(f"Linears, {worst.name}")


def test_no_layer_never_passes() -> None:
    assert verdict([]) is Verdict.ERROR


def test_layers_that_never_multiplied_fail_by_count() -> None:
    judgement = settle(checks([linear(matmuls=0)]))
    assert judgement.verdict is Verdict.FAIL
    assert "matmuls per Linear 0, expected 1 (blocks.0.to_q)" in judgement.message


@given(missing=st.sampled_from(["weight", "activation", "product", "linear"]))
def test_a_quantity_without_a_limit_is_an_error(missing: str) -> None:
    assert [check.cause for check in checks([linear()], [missing]) if check.cause] == [Cause.NO_LIMIT]


def test_a_format_whose_best_nobody_wrote_down_is_judged_without_it() -> None:
    lossy = [linear(weight_loss_db=5.0, activation_loss_db=5.0)]
    assert verdict(lossy) is Verdict.FAIL
    assert verdict(lossy, ["weight loss", "activation loss"]) is Verdict.PASS


def test_memory_that_nobody_initialized_and_changed_inputs_are_named() -> None:
    judgement = settle(checks([linear(padding=7), linear(oddity="changes its input")]))
    assert "scales of padding that are not zero 7, expected 0 (blocks.0.to_q)" in judgement.message
    assert "blocks.0.to_q changes its input; 1 of 2 such" in judgement.message


def test_a_record_keeps_numbers_that_are_none_and_a_baseline_only_what_the_model_feeds_its_linears() -> None:
    measured = ArithmeticResult(layers=[linear(weight_loss_db=math.nan), linear(name="x fed outliers", made_up=True)])
    plain: dict[str, Any] = {"run": "r", "case": "c", "gate": "arithmetic", "verdict": "pass", "arithmetic": "native"}
    record = GateRecord(schema=2, **plain, message="", checks=[], reproduce=[], result=measured.to_record())
    read = GateRecord.model_validate_json(record.model_dump_json(by_alias=True)).measured()
    assert isinstance(read, ArithmeticResult)
    assert math.isnan(read.layers[0].weight_loss_db)
    assert GATE.keep(measured).by_linear() == {(0, "blocks.0.to_q"): (20.0, 20.0, 17.0)}


# ---- where it starts -----------------------------------------------------------------------------------------------


def test_an_origin_is_looked_for_only_when_something_is_red() -> None:
    fallen = linear(name="transformer_blocks.0.attn.to_q", weight_db=5.0, weight_loss_db=15.0)
    baseline = ArithmeticKept(signal_db={"0": {fallen.name: [20.0, 20.0, 17.0]}})
    ctx = context(tiny("nvfp4"), baselines=Stored(sections={"arithmetic": baseline}))
    ctx.shared.get(("measured", "arithmetic", ctx.case), lambda: ArithmeticResult(layers=[fallen]))
    assert where_it_starts(ctx, [skipped("one", "not here")]) == ""
    said = where_it_starts(ctx, [failed("another gate's", "is red")])
    assert said.startswith("it starts at the weights, in 1 of 1 Linears")
    assert "[baseline 20.0]" in said
    concluded = conclude(GATE, ctx)
    assert (concluded.judgement.verdict, concluded.judgement.note) == (Verdict.FAIL, said)


def test_what_cannot_be_measured_names_no_origin() -> None:
    ctx = dataclasses.replace(context(tiny("nvfp4")), observations=cast(Any, None))
    assert where_it_starts(ctx, [errored("velocity", "broke off")]).startswith("no Linear could be looked at: Attr")
