"""What a recording on a GPU changes before anything compiles."""

from __future__ import annotations

import dataclasses
import os

import pytest

from fixtures.catalog import LANES
from fixtures.machine.hardware import detect
from fixtures.run.opened import observe_with
from fixtures.run.options import RunOptions


@pytest.mark.parametrize(
    ("lane", "recording", "cold"),
    [
        ("hopper-full-size", True, True),
        ("hopper-full-size", False, False),
        ("b200-rehearsal", True, False),
        ("cpu", True, False),
    ],
)
def test_a_recording_on_a_gpu_compiles_into_empty_caches(
    lane: str, recording: bool, cold: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "warm")
    monkeypatch.setenv("TRITON_CACHE_DIR", "warm")
    device = dataclasses.replace(detect("cpu"), sm=None if lane == "cpu" else (9, 0))
    observe_with(RunOptions(rebaseline=recording), LANES[lane], device, keeps=False, progress=lambda _: None)
    assert (os.environ["TORCHINDUCTOR_CACHE_DIR"] != "warm") == cold
    assert (os.environ["TRITON_CACHE_DIR"] != "warm") == cold
