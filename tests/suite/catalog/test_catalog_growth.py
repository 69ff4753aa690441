"""The README's recipes, tried: a new format and a new picture metric join from one file each. A new model is in
test_gate_fourth_model.py, a new lane in test_hardware.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fixtures.catalog.metrics import METRICS
from fixtures.gates.pictures.metric import load_metric
from fixtures.gates.verdict import ExitCode
from tests.suite.gate_runs import Gate, gates

INT8 = Path(__file__).parents[1] / "int8_format.py"


def test_a_new_format_is_one_entry(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_FORMATS", str(INT8))
    wanted = ("manifest", "memory", "arithmetic", "kernels", "calls", "velocity", "round_trip")
    selection = ["--model", "flux1-dev", "--format", "int8", "--batch", "1", "--case", "*/*-tiny-*"]
    kept = gates("manifest", "velocity")
    recorded = gate(*selection, *kept, "--rebaseline", "--reason", "a format joins", baselines=tmp_path)
    assert recorded.code == ExitCode.GREEN, recorded.text
    outcome = gate(*selection, *gates(*wanted), baselines=tmp_path)
    assert outcome.code == ExitCode.GREEN, outcome.text
    assert set(outcome.verdicts().values()) == {"pass"}
    assert len(outcome.records) == 7
    assert outcome.record("kernels").message.startswith("int8 matmuls 176, expected 176 (44 Linears x 4 denoiser")


def test_a_format_without_limits_is_told_where_to_write_them(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "unlimited.py"
    file.write_text(f"{INT8.read_text()}\nimport dataclasses\nFORMAT = dataclasses.replace(FORMAT, limits=())\n")
    monkeypatch.setenv("GATE_FORMATS", str(file))
    outcome = gate("--case", "flux1-dev/int8-tiny-bs1-eager", *gates("arithmetic"))
    assert outcome.code == ExitCode.ERROR
    message = outcome.record("arithmetic").message
    assert "weight: nobody set a limit for it; add one to the format in fixtures/catalog/formats.py" in message


class MeanDifference(torch.nn.Module):
    """A metric's network: the mean difference of colours, everywhere."""

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """[1, 3, height, width] twice -> [1, 1, height, width]."""
        return (one - other).abs().mean(dim=1, keepdim=True)


def test_a_new_metric_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mean_difference.py"
    file.write_text(
        "from fixtures.catalog.metrics import Metric\n"
        "METRIC = Metric(name='mean-difference', title='the mean', package='torch', "
        f"network='{__name__}:MeanDifference')\n"
    )
    monkeypatch.setenv("GATE_METRICS", str(file))
    assert list(METRICS)[-1] == "mean-difference"
    metric = load_metric("mean-difference")
    found = metric.distance(np.zeros((4, 5, 3), np.float32), np.full((4, 5, 3), 0.25, np.float32))
    assert (metric.name, found.value, found.heat_map.shape) == ("mean-difference", 0.5, (4, 5))
