"""The operator that moved is told from those that pass the difference on."""

from __future__ import annotations

import torch

from fixtures.research.operators import Recorder, moved, told


def recorded(x: torch.Tensor, bias: float) -> dict[str, str]:
    """A product, the operator under suspicion, and what is done with it."""
    with Recorder() as recorder:
        torch.relu(torch.mm(x, x).sub_(bias))
    made: dict[str, str] = recorder.made
    return made


def test_only_the_operator_that_makes_other_bits_of_equal_ones_is_named() -> None:
    a = recorded(torch.eye(3), 0.25)
    assert [call.partition("(")[0] for call in a] == ["aten.mm.default", "aten.sub_.Tensor", "aten.relu.default"]
    assert moved(a, recorded(torch.eye(3), 0.25)) == []
    rounded = dict(a)
    product = next(iter(a))
    rounded[product] = "float32[3, 3] 0123456789ab"
    (one,) = moved(a, rounded)
    assert (one.operator, one.calls) == ("aten.mm.default", 1)
    assert one.first.endswith("and float32[3, 3] 0123456789ab")
    assert next(told(a, rounded)) == "3 and 3 different calls, 3 of them with equal inputs; 1 operators moved"


def test_what_is_given_other_bits_is_not_named() -> None:
    assert moved(recorded(torch.eye(3), 0.25), recorded(2 * torch.eye(3), 0.25)) == []
