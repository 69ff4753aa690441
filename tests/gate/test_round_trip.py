"""Saving and loading keeps the picture, and diffusers' TorchAoConfig path equals quantize_."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.gates.repeats import judge_round_trip


@pytest.mark.gate("round_trip")
def test_saved_and_reloaded_denoiser_is_the_same(case: Case, lab: Any, conclude: Callable[..., None]) -> None:
    """Bit for bit: weights between the two ways of quantizing, outputs before and after the disk."""
    from fixtures.gates.round_trip.trip import measure_round_trip

    subject, steps = lab.subject(case), lab.trajectory(case)[0][:2]
    with lab.spending("measure"):
        trip = measure_round_trip(subject, steps, device=lab.workshop.device, folder=lab.workshop.folder)
    conclude(judge_round_trip(**asdict(trip)), details=asdict(trip))
