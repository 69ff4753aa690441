"""Limits of what a night of the tests draws: few steps, shift-tolerant LPIPS."""

from __future__ import annotations

from typing import Any

from fixtures.catalog.schema import Limit


def _limit(gate: str, quantity: str, unit: str, *formats: str, **bound: float) -> Limit:
    source = "two steps of tiny weights, shift-tolerant LPIPS: several times what a healthy stack shows"
    kwargs: dict[str, Any] = {**bound, "formats": formats}
    return Limit(gate=gate, quantity=quantity, unit=unit, source=source, **kwargs)


LIMITS = (
    _limit("reference", "lpips_to_stored", "LPIPS", ceiling=0.001),
    _limit("reference", "sound_to_stored", "dB", ceiling=0.05),
    _limit("quality", "lpips_mean", "LPIPS", "fp8", "mxfp8", ceiling=0.04),
    _limit("quality", "lpips_mean", "LPIPS", "nvfp4", ceiling=0.25),
    _limit("velocity", "sqnr_worst_step", "dB", "fp8", "mxfp8", floor=20.0),
    _limit("velocity", "sqnr_worst_step", "dB", "nvfp4", floor=10.0),
)
