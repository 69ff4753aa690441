"""Saving and loading keeps the picture, and diffusers' TorchAoConfig path equals quantize_."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.round_trip import GATE
from fixtures.run.plugin import Run


def test_saved_and_reloaded_denoiser_is_the_same(case: Case, run: Run) -> None:
    """Bit for bit: weights between the two ways of quantizing, outputs before and after the disk."""
    run.conclude(GATE, case)
