"""What the arithmetic gate measures of Linears that were never built."""

from __future__ import annotations

from typing import Any

from fixtures.gates.arithmetic.layer import LayerArithmetic

HEALTHY: dict[str, Any] = {
    "name": "blocks.0.to_q",
    "shape": (64, 64),
    "rows": 40,
    "step": 0,
    "weight_db": 20.0,
    "weight_loss_db": 0.0,
    "activation_db": 20.0,
    "activation_loss_db": 0.0,
    "output_db": 17.0,
    "output_loss_db": 0.0,
    "product_error": 0.001,
    "linear_error": 0.002,
    "activation_values": 4096,
    "padding": 0,
    "oddity": "",
    "matmuls": 1,
}


def linear(**changed: object) -> LayerArithmetic:
    """A Linear that is healthy but for what is given."""
    return LayerArithmetic(**{**HEALTHY, **changed})
