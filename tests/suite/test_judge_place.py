"""Where a red verdict starts: the first link of weights, activations, matmul and what is around it that is broken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from fixtures.catalog.schema import Limit
from fixtures.judge.place import place

CEILINGS = {"weight loss": 0.1, "activation loss": 0.1, "product": 0.004, "linear": 0.008}


def limit(quantity: str) -> Limit | None:
    """The limits of a test."""
    if quantity not in CEILINGS:
        return None
    return Limit(gate="arithmetic", quantity=quantity, unit="dB", source="a test's own", ceiling=CEILINGS[quantity])


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A healthy Linear."""

    name: str = "blocks.0.to_q"
    step: int = 0
    weight_db: float = 20.0
    weight_loss_db: float = 0.0
    activation_db: float = 20.0
    activation_loss_db: float = 0.0
    output_db: float = 17.0
    output_loss_db: float = 0.0
    product_error: float = 0.001
    linear_error: float = 0.002
    matmuls: int = 1


def told(*layers: Layer) -> str:
    """What is said of these Linears."""
    return place(layers=layers, limit=limit)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            {"weight_loss_db": 3.0, "activation_loss_db": 9.0, "linear_error": 1.0},
            "it starts at the weights, in 1 of 3",
        ),
        ({"activation_loss_db": 2.0, "product_error": 1.0}, "it starts at the activation quantizer, in 1 of 3"),
        ({"product_error": 0.1, "linear_error": 0.1}, "it starts at the matmul, in 1 of 3"),
        ({"linear_error": 0.1}, "it starts at what is done around the matmul (scales, bias, rounding), in 1 of 3"),
        ({"output_loss_db": 1.0}, "it starts above the matmul"),
        ({"matmuls": 0}, "it starts at the matmul: 1 of 3 Linears made 0 of their one, first blocks.1.to_k"),
        ({"product_error": float("nan")}, "it starts at the matmul, in 1 of 3"),
    ],
)
def test_the_first_broken_link_is_named(broken: dict[str, Any], said: str) -> None:
    assert told(Layer(), replace(Layer(name="blocks.1.to_k"), **broken), Layer()).startswith(said)


def test_the_worst_linears_come_first_with_what_they_reach_and_could() -> None:
    layers = [Layer(name=f"blocks.{loss}", weight_db=20.0 - loss, weight_loss_db=float(loss)) for loss in (1, 4, 2, 3)]
    text = told(*layers)
    assert [text.index(f"blocks.{loss}") for loss in (4, 3, 2)] == sorted(text.index(f"blocks.{n}") for n in (4, 3, 2))
    assert "blocks.1 " not in text
    assert "blocks.4 (weight 16.0 dB of 20.0, activation 20.0 dB of 20.0, output 17.0 dB of 17.0)" in text


def test_the_step_is_named_where_it_is_not_the_first() -> None:
    assert "blocks.0.to_q at step 11 (" in told(Layer(step=11, activation_loss_db=1.0))


def test_nothing_is_said_of_nothing() -> None:
    assert told() == ""
