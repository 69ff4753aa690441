"""Which denoiser calls the compile gate runs: each shape once to warm up, and again, when nothing may be made anew."""

from __future__ import annotations

import pytest
import torch

from fixtures.measure.graphs import compile_steps
from fixtures.measure.observe import Step


def steps(*lengths: int) -> list[Step]:
    """Denoiser calls whose texts have these lengths."""
    return [Step(args=(), kwargs={"text": torch.zeros(1, length)}, outputs=()) for length in lengths]


@pytest.mark.parametrize(
    ("lengths", "taken"), [((9, 9), 2), ((9, 9, 9, 9, 9), 3), ((9, 5, 9, 5), 4), ((9, 5, 9, 5, 9, 5, 9, 5), 6)]
)
def test_each_shape_is_taken_two_or_three_times(lengths: tuple[int, ...], taken: int) -> None:
    assert len(compile_steps(steps(*lengths))) == taken


@pytest.mark.parametrize("lengths", [(), (9,), (9, 5), (9, 9, 9, 5)])
def test_a_shape_that_occurs_once_is_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not repeat each of their"):
        compile_steps(steps(*lengths))
