"""What a recording on a GPU changes before anything compiles."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fixtures.catalog.schema import Machine as Kind
from fixtures.machine.hardware import Machine
from fixtures.run.lab import Lab
from fixtures.run.open_lab import open_lab
from fixtures.stack.installed import installed


def opened(kind: Kind, **chosen: Any) -> Lab:
    options = {
        "metric": "st-lpips",
        "baselines": "baselines",
        "checkpoint_folder": None,
        "threads": torch.get_num_threads(),
        "any_pair": True,
    }
    machine = Machine(
        kind=kind,
        name="NVIDIA H200",
        sm=(9, 0),
        driver=None,
        power_limit_w=None,
        memory_total_bytes=1,
        cpu_model="a",
        cpu_isa="b",
        cores=2,
        threads=2,
    )
    given = SimpleNamespace(**{**options, "rebaseline": False, "rehearse": None, **chosen})
    lab = open_lab(given, machine, installed(), progress=lambda _: None)
    assert isinstance(lab, Lab)
    return lab


@pytest.mark.parametrize(
    ("kind", "chosen", "cold"),
    [
        ("hopper", {"rebaseline": True}, True),
        ("hopper", {}, False),
        ("b200", {"rebaseline": True, "rehearse": "b200"}, False),
        ("cpu", {"rebaseline": True}, False),
    ],
)
def test_a_recording_on_a_gpu_compiles_into_empty_caches(
    kind: Kind, chosen: dict[str, Any], cold: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "warm")
    monkeypatch.setenv("TRITON_CACHE_DIR", "warm")
    opened(kind, **chosen)
    assert (os.environ["TORCHINDUCTOR_CACHE_DIR"] != "warm") == cold
    assert (os.environ["TRITON_CACHE_DIR"] != "warm") == cold
