"""Bad input gets one sentence that names the input and the remedy."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any, NoReturn

import pytest

from fixtures.gates.verdict import ExitCode
from fixtures.pipelines.load import SHIPPED
from fixtures.report.__main__ import main
from tests.suite.gate_runs import BF16, Gate, Outcome, cases, gates

QUICK = (*cases(BF16), *gates("calls"))


def copied_checkpoint(gate: Gate, folder: Path) -> Path:
    """A checkpoint folder to be damaged; returns the pipeline's."""
    source = Path(gate.checkpoints or SHIPPED) / "flux1-dev"
    return Path(shutil.copytree(source, folder / "flux1-dev"))


def one_error(outcome: Outcome) -> str:
    """The message of the only record, which is an error of one line."""
    (record,) = outcome.records
    assert record.verdict == "error"
    assert outcome.code == ExitCode.ERROR
    assert "\n" not in record.message
    assert "Traceback" not in outcome.text
    return record.message


@pytest.mark.parametrize("option", ["--checkpoint-folder", "--baselines"])
def test_a_folder_that_is_missing(gate: Gate, tmp_path: Path, option: str) -> None:
    outcome = gate(*QUICK, option, str(tmp_path / "none"))
    assert outcome.code == 4
    assert outcome.says(f"{option} {tmp_path / 'none'} is not there; name a folder that is")


@pytest.mark.parametrize("option", ["--checkpoint-folder", "--baselines", "--results", "--history"])
def test_a_folder_that_is_a_file(gate: Gate, tmp_path: Path, option: str) -> None:
    (tmp_path / "none").touch()
    outcome = gate(*QUICK, option, str(tmp_path / "none"))
    assert outcome.code == 4
    assert outcome.says(f"{option} {tmp_path / 'none'} is a file; name a folder")


def test_a_checkpoint_that_is_not_in_its_folder(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    message = one_error(gate(*QUICK, checkpoints=tmp_path / "none"))
    assert "none/flux1-dev is missing or has no model_index.json; restore it with `git checkout" in message


def test_a_checkpoint_that_was_cut_short(gate: Gate, tmp_path: Path) -> None:
    weights = copied_checkpoint(gate, tmp_path) / "transformer" / "diffusion_pytorch_model.safetensors"
    whole = weights.stat().st_size
    os.truncate(weights, whole - 1000)
    message = one_error(gate(*QUICK, checkpoints=tmp_path))
    assert f"diffusion_pytorch_model.safetensors is truncated: {whole - 1000} bytes instead of {whole}; " in message


def test_a_checkpoint_of_another_model(gate: Gate, tmp_path: Path) -> None:
    folder = copied_checkpoint(gate, tmp_path)
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace('"FluxPipeline"', '"FluxImg2ImgPipeline"'))
    message = one_error(gate(*QUICK, checkpoints=tmp_path))
    assert "is a FluxImg2ImgPipeline with a FluxTransformer2DModel; flux1-dev needs FluxPipeline with Flux" in message


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--threads", "0"), "argument --threads: '0' is no whole number from 1 up"),
        (("--batch", "0"), "argument --batch: '0' is no whole number from 1 up"),
        (("--case", ""), "--case '' names no case; a case id looks like flux1-dev/nvfp4-tiny-bs1-eager"),
    ],
)
def test_a_number_or_a_case_that_is_none(gate: Gate, given: tuple[str, str], words: str) -> None:
    outcome = gate(*QUICK, *given)
    assert outcome.code == 4
    assert outcome.says(words)
    assert "Traceback" not in outcome.text


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EROFS, "the file system is read-only"), (errno.EACCES, "permission denied")]
)
def test_a_results_folder_that_cannot_be_written(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    mkdir = Path.mkdir

    def refused(self: Path, *args: Any, **kwargs: Any) -> None:
        if "results-" in str(self):
            raise OSError(number, os.strerror(number), str(self))
        mkdir(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refused)
    outcome = gate(*QUICK)
    assert outcome.code == 4
    assert outcome.says(f": {words}; make room or the folder writable, or choose another with --results DIR")
    assert "Traceback" not in outcome.text


def test_a_disk_that_fills_up_ends_the_run_in_one_sentence(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    selection = (*cases(BF16), *gates("calls", "digest"))
    # The header is on the disk by then, and the first record does not fit any more.
    monkeypatch.setattr("fixtures.pipelines.observe.Tap.begin", _then(full, monkeypatch))
    outcome = gate(*selection)
    assert outcome.code == ExitCode.ERROR, outcome.text
    assert outcome.says("the disk is full; make room or the folder writable, or choose another with --results DIR")
    assert "Traceback" not in outcome.text


def _then(full: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from fixtures.pipelines.observe import Tap

    begin = Tap.begin

    def filling(self: Tap) -> None:
        monkeypatch.setattr(os, "fsync", full)
        begin(self)

    return filling


def test_a_picture_that_does_not_fit_ends_the_run_in_one_sentence(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("PIL.Image.Image.save", full)
    outcome = gate(*cases(BF16), *gates("reference", "calls"))
    assert outcome.code == ExitCode.ERROR, outcome.text
    assert outcome.says("the disk is full; make room or the folder writable, or choose another with --results DIR")


def test_a_disk_that_is_full_when_the_report_is_written_keeps_the_table_and_names_the_command(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("fixtures.report.write.write_atomic", full)
    outcome = gate(*QUICK)
    assert outcome.code == ExitCode.ERROR
    assert outcome.says("2 denoiser calls per picture = 2"), "the table"
    assert outcome.says("UNFINISHED 1 gates of 1 planned: 1 pass")
    assert outcome.says("exit code 7: the report could not be written"), "the same as the process"
    assert outcome.says(f"nox -s report -- {outcome.folder}")
    assert "report.html" not in outcome.text.partition("cannot be written")[0].rpartition("exit code")[2]
    assert "Traceback" not in outcome.text
    monkeypatch.undo()
    assert main([str(outcome.folder)]) == 0
    assert outcome.page
