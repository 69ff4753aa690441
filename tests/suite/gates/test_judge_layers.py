"""Properties of the arithmetic gate's decision: the worst layer decides, and one that made no matmul fails."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fixtures.gates.arithmetic.layers import FEW_VALUES_DB, MANY_VALUES, judge_arithmetic
from hypothesis import assume, given
from hypothesis import strategies as st

from fixtures.catalog.schema import Limit
from fixtures.gates.verdict import Verdict, settle

FLOORS = {"weight": 15.0, "activation": 16.0}
CEILINGS = {"product": 0.004, "linear": 0.008, "weight loss": 0.3, "activation loss": 0.4}


def limit(quantity: str) -> Limit | None:
    """The limits of a test."""
    return Limit(
        gate="arithmetic",
        quantity=quantity,
        unit="dB",
        source="a test's own",
        floor=FLOORS.get(quantity),
        ceiling=CEILINGS.get(quantity),
    )


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer that is healthy but for what is given."""

    name: str = "blocks.0.to_q"
    weight_db: float = 20.0
    activation_db: float = 20.0
    weight_loss_db: float = 0.0
    activation_loss_db: float = 0.0
    padding: int = 0
    oddity: str = ""
    product_error: float = 0.001
    linear_error: float = 0.002
    activation_values: int = 4096
    matmuls: int = 1

    @property
    def healthy(self) -> bool:
        """Whether each of its numbers lies within its limit."""
        return (
            self.weight_db >= 15.0
            and self.activation_db >= (16.0 if self.activation_values >= MANY_VALUES else 16.0 - FEW_VALUES_DB)
            and self.product_error <= 0.004
            and self.linear_error <= 0.008
            and self.weight_loss_db <= 0.3
            and self.activation_loss_db <= 0.4
            and not self.padding
            and not self.oddity
            and self.matmuls == 1
        )


layers = st.lists(
    st.builds(
        Layer,
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


def changed(layer: Layer, number: str, value: float) -> Layer:
    """The layer with one of its numbers replaced."""
    numbers: dict[str, Any] = {number: value}
    return replace(layer, **numbers)


def verdict(found: list[Layer], limits: Callable[[str], Limit | None] = limit) -> Verdict:
    """What the gate says of these layers."""
    return settle(judge_arithmetic(layers=found, limit=limits)).verdict


@given(found=layers)
def test_the_gate_is_green_only_when_every_layer_is_healthy(found: list[Layer]) -> None:
    assert (verdict(found) is Verdict.PASS) == all(layer.healthy for layer in found)


@given(found=layers, place=st.integers(0, 4), number=st.sampled_from(NUMBERS))
def test_one_number_that_is_none_never_passes(found: list[Layer], place: int, number: str) -> None:
    index = place % len(found)
    assume(found[index].matmuls == 1)
    for value in (math.nan, math.inf, -math.inf):
        broken = [*found[:index], changed(found[index], number, value), *found[index + 1 :]]
        assert verdict(broken) is not Verdict.PASS


@given(found=layers, place=st.integers(0, 4), number=st.sampled_from(NUMBERS), change=st.floats(0, 1))
def test_a_layer_that_gets_worse_makes_nothing_greener(
    found: list[Layer], place: int, number: str, change: float
) -> None:
    index = place % len(found)
    worse_by = change * (0.01 if "error" in number else 0.5 if "loss" in number else -10)
    worse = changed(found[index], number, getattr(found[index], number) + worse_by)
    after = verdict([*found[:index], worse, *found[index + 1 :]])
    assert verdict(found) is Verdict.PASS or after is not Verdict.PASS


@given(found=layers)
def test_the_message_names_the_worst_layer(found: list[Layer]) -> None:
    named = [replace(layer, name=f"layer-{index}", matmuls=1) for index, layer in enumerate(found)]
    worst = max(named, key=lambda layer: layer.linear_error)
    assume([layer.linear_error for layer in named].count(worst.linear_error) == 1)
    (check,) = (check for check in judge_arithmetic(layers=named, limit=limit) if check.name == "linear")
    assert check.value == worst.linear_error
    assert check.note.endswith(f"Linears, {worst.name}")


def test_no_layer_never_passes() -> None:
    assert verdict([]) is Verdict.ERROR


def test_layers_that_never_multiplied_fail_by_count() -> None:
    judgement = settle(judge_arithmetic(layers=[Layer(matmuls=0)], limit=limit))
    assert judgement.verdict is Verdict.FAIL
    assert "matmuls per Linear 0, expected 1 (blocks.0.to_q)" in judgement.message


@given(missing=st.sampled_from(["weight", "activation", "product", "linear"]))
def test_a_quantity_without_a_limit_is_an_error(missing: str) -> None:
    assert verdict([Layer()], lambda quantity: None if quantity == missing else limit(quantity)) is Verdict.ERROR


def test_a_format_whose_best_nobody_wrote_down_is_judged_without_it() -> None:
    lossy = Layer(weight_loss_db=5.0, activation_loss_db=5.0)
    assert verdict([lossy]) is Verdict.FAIL
    assert verdict([lossy], lambda name: None if "loss" in name else limit(name)) is Verdict.PASS


def test_memory_that_nobody_initialized_and_changed_inputs_are_named() -> None:
    judgement = settle(judge_arithmetic(layers=[Layer(padding=7), Layer(oddity="changes its input")], limit=limit))
    assert "scales of padding that are not zero 7, expected 0 (blocks.0.to_q)" in judgement.message
    assert "blocks.0.to_q changes its input; 1 of 2 such" in judgement.message
