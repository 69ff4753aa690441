"""The README's recipe, tried on a model that the suite never saw: FLUX.2 [klein] is one catalog file, elsewhere."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from fixtures.catalog import UnknownName, meta_cases, models
from fixtures.gates.verdict import ExitCode
from fixtures.results.baseline import path_of, read
from tests.suite import flux2_klein_weights
from tests.suite.gate_runs import ROOT, Gate, Outcome, cases, gates

FILE = ROOT / "tests" / "suite" / "flux2_klein.py"
BF16, MXFP8, NVFP4 = (f"flux2-klein/{name}-tiny-bs1-eager" for name in ("bf16", "mxfp8", "nvfp4"))
FP8_BS2, NVFP4_BS2 = (f"flux2-klein/{name}-tiny-bs2-eager" for name in ("fp8", "nvfp4"))
JUDGED_BY_A_BASELINE = ("manifest", "reference", "velocity", "quality", "digest")
JUDGED_ALONE = ("memory", "arithmetic", "calls", "kernels", "round_trip")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite is told of one more file."""
    monkeypatch.setenv("GATE_MODELS", str(FILE))
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.delenv("GATE_OVERRIDES", raising=False)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints with the new model's in it."""
    folder = tmp_path_factory.mktemp("checkpoints")
    flux2_klein_weights.save(folder / "flux2-klein")
    return folder


@pytest.fixture
def gate(told: None, tmp_path: Path, weights: Path) -> Gate:
    """The gate with the catalog as it is, and no baseline."""
    return Gate(scratch=tmp_path, baselines=tmp_path / "baselines", checkpoints=str(weights), plugin=None)


def verdicts(outcome: Outcome) -> set[str]:
    """Every verdict that occurred."""
    return {str(record.verdict) for record in outcome.records}


def test_every_gate_judges_a_model_that_one_file_describes(gate: Gate) -> None:
    two = cases(BF16, NVFP4)
    new = gate(*two, *gates(*JUDGED_BY_A_BASELINE))
    assert new.code == ExitCode.FAIL
    assert verdicts(new) == {"fail"}, new.text
    for record in new.records:
        assert "record it" in record.message

    every = gates(*JUDGED_BY_A_BASELINE, *JUDGED_ALONE)
    recorded = gate(*two, *cases(MXFP8), *every, "--rebaseline", "--reason", "a model joins")
    assert recorded.code == ExitCode.GREEN, recorded.text
    assert set(recorded.verdicts(BF16)) == {"reference", "calls", "digest"}
    assert set(recorded.verdicts(NVFP4)) == {*JUDGED_BY_A_BASELINE, *JUDGED_ALONE} - {"reference"}
    # The checkpoint is distilled: whatever the guidance, one denoiser call a step, quantized or not.
    for case in (BF16, NVFP4):
        assert recorded.record("calls", case).message.startswith("denoiser calls per picture 4, expected 4")
    assert recorded.record("kernels", NVFP4).message.startswith(
        "nvfp4 matmuls 152, expected 152 (19 Linears x 8 denoiser"
    )
    assert "manifest" in read(path_of(gate.baselines, "cpu", NVFP4), NVFP4).sections()

    again = gate(*two, *gates(*JUDGED_BY_A_BASELINE))
    assert again.code == ExitCode.GREEN, again.text
    assert verdicts(again) == {"pass"}
    assert again.record("digest", NVFP4).message == "moved 0 (numerics did not move)"

    slow = gate(*two, *gates("determinism", "compile"))
    assert slow.code == ExitCode.GREEN, slow.text
    assert len(slow.records) == 4
    assert "picture of a new process 1 equal, expected 1 equal" in slow.record("determinism", NVFP4).message


@pytest.mark.skipif(version("torchao") != "0.18.0", reason="this is what torchao 0.18.0 does")
def test_what_torchao_cannot_do_with_it_names_torchaos_own_line(gate: Gate) -> None:
    """At batch 2 the attention's output is split into text and picture, which are no longer contiguous, and torchao
    takes a view of them. fp8 takes another way."""
    outcome = gate(*cases(NVFP4_BS2, FP8_BS2), *gates("calls"))
    assert outcome.code == ExitCode.ERROR
    assert outcome.record("calls", FP8_BS2).verdict == "pass"
    message = outcome.record("calls", NVFP4_BS2).message
    assert "RuntimeError: view size is not compatible with input tensor's size and stride" in message
    assert "(raised in torchao/prototype/mx_formats/nvfp4_tensor.py:" in message


def test_its_published_architecture_is_judged_without_weights(gate: Gate) -> None:
    full = [part for case in meta_cases(["flux2-klein"], ["mxfp8", "nvfp4"]) for part in cases(case.id)]
    outcome = gate(*full, *gates("manifest", "memory", "roofline"))
    assert outcome.code == ExitCode.GREEN, outcome.text
    assert len(outcome.records) == 2 * (1 + 2 + 2)
    case = "flux2-klein/nvfp4-meta-bs1-eager"
    assert outcome.record("manifest", case).message.startswith("quantized Linears 103, expected 103")
    assert outcome.record("memory", case).message.startswith("saved 5.494 GB")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "which is no Python file; give a file like fixtures/catalog/models/flux1_dev.py"),
        ("import nothing_of_that_name", "raises ModuleNotFoundError: No module named 'nothing_of_that_name'; give"),
        ("MODEL = 'flux'", "has no MODEL of class Model; give a file like"),
        (
            "from fixtures.catalog.models.flux1_dev import MODEL",
            "describes flux1-dev, which another file does; rename it",
        ),
    ],
    ids=["absent", "broken", "empty", "double"],
)
def test_a_file_that_describes_no_model_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, sentence: str
) -> None:
    file = tmp_path / "model.py"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("GATE_MODELS", str(file))
    with pytest.raises(UnknownName) as caught:
        models()
    assert str(caught.value).startswith("GATE_MODELS")
    assert str(file) in str(caught.value)
    assert sentence in str(caught.value)
    gate = Gate(scratch=tmp_path, baselines=tmp_path, checkpoints=None, plugin=None)
    outcome = gate(*gates("calls"))
    assert outcome.code == pytest.ExitCode.USAGE_ERROR
    assert outcome.says(str(caught.value))
    assert "Traceback" not in outcome.text
