"""Where a red verdict starts: the first link of weights, activations, matmul and what is around it that is broken."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.catalog.limits import Limits
from fixtures.catalog.schema import Limit
from fixtures.gates.arithmetic.layer import LayerArithmetic
from fixtures.gates.arithmetic.origin import ROUNDING_DB, Baseline, starts_at
from tests.suite.linears import linear

CEILINGS = {"weight loss": 0.1, "activation loss": 0.1, "product": 0.004, "linear": 0.008}
LIMITS = Limits(
    entries=tuple(
        Limit(gate="arithmetic", quantity=quantity, unit="dB", source="a test's own", ceiling=ceiling)
        for quantity, ceiling in CEILINGS.items()
    )
)


def told(*layers: LayerArithmetic, baseline: Baseline | None = None, limits: Limits = LIMITS) -> str:
    """What is said of these Linears."""
    return starts_at(layers=layers, limits=limits, baseline=baseline or {})


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
    assert told(linear(), linear(name="blocks.1.to_k", **broken), linear()).startswith(said)


def test_the_worst_linears_come_first_with_what_they_reach_and_could() -> None:
    layers = [linear(name=f"blocks.{loss}", weight_db=20.0 - loss, weight_loss_db=float(loss)) for loss in (1, 4, 2, 3)]
    text = told(*layers)
    assert [text.index(f"blocks.{loss}") for loss in (4, 3, 2)] == sorted(text.index(f"blocks.{n}") for n in (4, 3, 2))
    assert "blocks.1 " not in text
    assert "blocks.4 (weight 16.0 dB of 20.0, activation 20.0 dB of 20.0, output 17.0 dB of 17.0)" in text


def test_what_the_model_feeds_a_linear_stands_before_what_is_made_up() -> None:
    made_up = linear(name="blocks.9 fed outliers", linear_error=9.0, made_up=True)
    text = told(made_up, linear(name="blocks.1", linear_error=0.1))
    assert text.index("in 2 of 2 Linears") < text.index("blocks.1 (") < text.index("blocks.9 fed outliers (")


def test_the_step_is_named_where_it_is_not_the_first() -> None:
    assert "blocks.0.to_q at step 11 (" in told(linear(step=11, activation_loss_db=1.0))


def test_nothing_is_said_of_nothing() -> None:
    assert told() == ""


def recorded(*layers: LayerArithmetic) -> Baseline:
    """What a baseline says of these Linears."""
    return {(layer.step, layer.name): (layer.weight_db, layer.activation_db, layer.output_db) for layer in layers}


def changed(layer: LayerArithmetic, **numbers: object) -> LayerArithmetic:
    """The layer with some of its numbers replaced."""
    return layer.model_copy(update=numbers)


HEALTHY = [linear(name=f"blocks.{index}") for index in range(4)]


@pytest.mark.parametrize(
    ("fallen", "said"),
    [
        ({"weight_db": 18.0, "output_db": 12.0}, "it starts at the weights: every Linear is within its limits, yet 2"),
        ({"activation_db": 18.0, "output_db": 12.0}, "it starts at the activation quantizer: every Linear is within"),
        ({"output_db": 12.0}, "it starts at the matmul or what is done around it: every Linear is within its limits"),
    ],
)
def test_what_fell_below_the_baseline_within_the_limits_is_named_worst_first(fallen: dict[str, Any], said: str) -> None:
    """A format whose best nobody knows (nan) is still held against its baseline."""
    unknown: dict[str, Any] = dict.fromkeys(("weight_loss_db", "activation_loss_db", "output_loss_db"), float("nan"))
    little: dict[str, Any] = {name: value + 1 for name, value in fallen.items()}
    layers = [
        HEALTHY[0],
        changed(HEALTHY[1], **unknown, **little),
        changed(HEALTHY[2], **unknown, **fallen),
        HEALTHY[3],
    ]
    text = told(*layers, limits=Limits(), baseline=recorded(*HEALTHY))
    assert text.startswith(said)
    assert "2 of 4 keep less than in the baseline; worst first: blocks.2 (" in text
    assert "output 12.0 dB [baseline 17.0]); blocks.1 (" in text


def test_a_broken_limit_tells_what_the_baseline_had() -> None:
    text = told(changed(HEALTHY[0], weight_db=16.0, weight_loss_db=4.0), baseline=recorded(*HEALTHY))
    assert text.startswith("it starts at the weights, in 1 of 1 Linears")
    assert "weight 16.0 dB of 20.0 [baseline 20.0]" in text


def test_activations_that_are_harder_to_quantize_are_not_blamed_on_the_quantizer() -> None:
    """They keep what the format can: whoever made them is above."""
    text = told(changed(HEALTHY[0], activation_db=17.0, output_db=14.0), *HEALTHY[1:], baseline=recorded(*HEALTHY))
    assert text.startswith("it starts above the matmul")
    assert "1 of 4 get other numbers than in the baseline and keep less of them; worst first: blocks.0 (" in text
    assert "activation 17.0 dB of 17.0 [baseline 20.0]" in text


def test_what_rounding_moves_is_nobodys_fault() -> None:
    moved = {
        name: getattr(HEALTHY[0], name) - rounding * 0.99
        for name, rounding in zip(("weight_db", "activation_db", "output_db"), ROUNDING_DB, strict=True)
    }
    layer = changed(HEALTHY[0], **moved)
    text = told(layer, *HEALTHY[1:], baseline=recorded(*HEALTHY))
    assert "of every Linear are as good as the format, and none keeps less than in the baseline" in text


def test_a_linear_that_the_baseline_does_not_know_is_held_against_the_best() -> None:
    text = told(changed(HEALTHY[0], name="blocks.new", weight_loss_db=3.0), *HEALTHY[1:], baseline=recorded(*HEALTHY))
    assert text.startswith("it starts at the weights, in 1 of 4")
    assert "blocks.new (weight 20.0 dB of 23.0, activation" in text
