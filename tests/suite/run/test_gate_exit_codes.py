"""What the process returns, and what a person reads when nothing could be judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.faults.in_matmul import products_become_nan
from fixtures.faults.in_pipeline import FLUX_PIPELINE
from fixtures.faults.in_selection import linears_are_skipped
from fixtures.faults.patching import Patch, wrapped
from fixtures.gates.registry import find_gate
from fixtures.gates.verdict import ExitCode
from tests.suite.gate_runs import BF16, NVFP4, Gate, cases, gates

USAGE = 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "flux2"], "unknown model 'flux2'; choose from: flux1-dev, ltx-2, qwen-image"),
        (["--format", "fp3"], "unknown format 'fp3'; choose from: bf16, fp8, mxfp8, nvfp4"),
        (["--gate", "looks"], "unknown gate 'looks'; choose from: manifest, memory, roofline, "),
        (["--case", "flux1-dev/nvfp4"], "a case id looks like flux1-dev/nvfp4-tiny-bs1-eager"),
        (["--case", "flux1-dev/fp3-tiny-bs1-eager"], "unknown format 'fp3'; choose from: bf16,"),
        (
            ["--case", "flux1-dev/nvfp4-huge-bs1-eager"],
            "unknown checkpoint 'huge'; choose from: hub, tiny, random, meta",
        ),
        (["--case", "flux1-dev/nvfp4-tiny-bs1-fast"], "unknown compile mode 'fast'; choose from: eager, regional,"),
        (["--case", "flux1-dev/nvfp4-tiny-bs0-eager"], "unknown case 'flux1-dev/nvfp4-tiny-bs0-eager'"),
        (["--case", "flux1-dev/*fp3*"], "no case matches 'flux1-dev/*fp3*'; the lane's cases are: flux1-dev/"),
        (["--machine", "b200"], "--machine b200 needs compute capability 10.0; found no usable GPU: "),
    ],
)
def test_an_unknown_word_is_one_sentence_with_the_choices(gate: Gate, arguments: list[str], sentence: str) -> None:
    outcome = gate(*arguments)
    assert outcome.code == USAGE, outcome.text
    assert outcome.says(f"ERROR: {sentence}") or outcome.says(sentence)
    assert outcome.text.count("ERROR") == 1
    assert "Traceback" not in outcome.text
    assert not outcome.records


def test_nothing_selected_is_not_green(gate: Gate) -> None:
    outcome = gate(*cases(NVFP4), *gates("reference"))
    assert outcome.code == ExitCode.NOTHING_SELECTED
    assert outcome.says("nothing was selected, so nothing is proven")


def test_a_failure_outranks_an_error_and_both_are_named(gate: Gate, patch: Patch) -> None:
    products_become_nan(patch)
    linears_are_skipped(patch)
    outcome = gate(*cases(NVFP4), *gates("memory", "arithmetic"))
    assert outcome.verdicts() == {"memory": "fail", "arithmetic": "error"}
    assert outcome.code == ExitCode.FAIL
    assert outcome.says("RED 2 gates: 1 fail, 1 error")
    assert outcome.says("exit code 1: at least one gate failed")


def test_green_says_what_it_stands_on(gate: Gate) -> None:
    outcome = gate(*cases(BF16), *gates("calls"))
    assert outcome.code == ExitCode.GREEN
    assert outcome.says("exit code 0: every gate passed or was skipped for a reason that this machine is entitled to")
    assert outcome.says("stack: torch ")
    assert outcome.says("arithmetic native")


def test_a_gate_that_concludes_nothing_is_an_error(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(find_gate("digest")), "judge", lambda *_: [])
    outcome = gate(*cases(NVFP4), *gates("digest"), "--rebaseline", "--reason", "x", baselines=tmp_path)
    assert outcome.verdicts() == {"digest": "pass"}

    outcome = gate(*cases(NVFP4), *gates("digest"))
    assert outcome.code == ExitCode.ERROR
    assert outcome.record("digest").message == "the gate produced no value"


def test_a_pipeline_that_never_calls_its_denoiser_fails(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(original: Any, self: Any, *, prompt: list[str], **kwargs: Any) -> Any:
        return (np.zeros((len(prompt), 128, 128, 3)),)

    monkeypatch.setattr(*wrapped(FLUX_PIPELINE, "FluxPipeline.__call__", nothing))
    outcome = gate(*cases(BF16), *gates("calls"))
    assert outcome.code == ExitCode.FAIL
    assert outcome.record("calls").message.startswith("denoiser calls per picture 0, expected 2")
