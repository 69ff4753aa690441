"""The README's recipe, tried: a new format is one entry. A new model is in test_gate_fourth_model.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fixtures.catalog import FORMATS
from fixtures.catalog.common_limits import arithmetic_limits
from fixtures.catalog.schema import Format
from fixtures.gates.verdict import ExitCode
from tests.suite.gate_runs import Gate, gates

MXFP4 = Format(
    name="mxfp4",
    title="MXFP4: float4 e2m1 in blocks of 32, e8m0 scales",
    config="torchao.prototype.mx_formats:MXDynamicActivationMXWeightConfig",
    config_kwargs={"activation_dtype": "torch:float4_e2m1fn_x2", "weight_dtype": "torch:float4_e2m1fn_x2"},
    bits=4 + 8 / 32,
    block=32,
    matmul="mxfp4",
    tensor_class="MXTensor",
    flops_per_bf16_flop=4.0,
    limits=arithmetic_limits("mxfp4", full=(13.0, 13.0), source="measured once on the tiny FLUX, for this test"),
)


def test_a_new_format_is_one_entry(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "mxfp4", MXFP4)
    wanted = ("manifest", "memory", "arithmetic", "kernels", "calls", "velocity", "round_trip")
    selection = ["--model", "flux1-dev", "--format", "mxfp4", "--batch", "1", "--case", "*/*-tiny-*", *gates(*wanted)]
    recorded = gate(*selection, "--rebaseline", "--reason", "a format joins", baselines=tmp_path)
    assert recorded.code == ExitCode.GREEN, recorded.text
    outcome = gate(*selection, baselines=tmp_path)
    assert outcome.code == ExitCode.GREEN, outcome.text
    assert set(outcome.verdicts().values()) == {"pass"}
    assert len(outcome.records) == 7
    assert outcome.record("kernels").message.startswith("mxfp4 matmuls 176, expected 176 (44 Linears x 4 denoiser")


def test_a_format_without_limits_is_told_where_to_write_them(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "mxfp4", dataclasses.replace(MXFP4, limits=()))
    outcome = gate("--case", "flux1-dev/mxfp4-tiny-bs1-eager", *gates("arithmetic"))
    assert outcome.code == ExitCode.ERROR
    message = outcome.record("arithmetic").message
    assert "weight: nobody set a limit for it; add one to the format in fixtures/catalog/formats.py" in message
