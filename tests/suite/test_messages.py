"""What people read names their files and numbers, and no class of the suite; a wrong folder is a wrong option, wherever
it is given."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import fixtures.bisect.__main__ as bisect
import fixtures.compare.__main__ as compare
import fixtures.faults.__main__ as faults
import fixtures.nightly.__main__ as nightly
import fixtures.report.__main__ as report
import fixtures.trend.__main__ as trend
from fixtures import ROOT
from fixtures.bisect.log import LOG, BisectLog, LogProblem
from fixtures.gates.digest import GATE as DIGEST
from fixtures.gates.digest import DigestKept
from fixtures.results.baseline import BaselineError, path_of, read
from fixtures.results.history import HistoryDamaged, append, read_history
from fixtures.results.run import RunUnreadable, read_run
from fixtures.run import forecast
from fixtures.run.broken_off import broken_off
from tests.suite.gate_runs import BF16, NVFP4, Gate, cases, gates
from tests.suite.record_samples import write_run

QUESTION = ("--case", BF16, "--gate", "calls", "--good", "torchao=0.17.0")
SIDES = ("--a", "torchao=0.17.0", "--b", "torchao=0.18.0")


def own_classes() -> set[str]:
    """Every class of the suite whose name is no word of the language: it has two humps."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "fixtures").rglob("*.py")]
    names = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    return {name for name in names if re.fullmatch(r"_?[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]*)+", name)}


CLASSES = "|".join(sorted({*own_classes(), "ValidationError"}))
INSIDE = re.compile(rf"\w+Error\(|\b(?:{CLASSES})\b|validation errors? for|object at 0x|Traceback")


def assert_plain(text: str) -> None:
    assert text.strip()
    assert not INSIDE.search(text), INSIDE.search(text)


def damaged(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def header_of_a_run(folder: Path) -> None:
    path = write_run(folder)
    damaged(path / "run.json", '"lane"', '"line"')
    read_run(path)


def record_of_a_run(folder: Path) -> None:
    path = write_run(folder)
    damaged(path / "records.jsonl", '"gate"', '"gait"')
    read_run(path)


def header_that_is_a_folder(folder: Path) -> None:
    path = write_run(folder)
    (path / "run.json").unlink()
    (path / "run.json").mkdir()
    read_run(path)


def entry_of_the_history(folder: Path) -> None:
    path = append(read_run(write_run(folder)), folder / "history")
    assert path is not None
    damaged(path, '"points"', '"pints"')
    read_history(folder / "history")


def log_of_a_bisect(folder: Path) -> None:
    (folder / LOG).write_text('{"question": 1}\n', encoding="utf-8")
    BisectLog.resume(folder / LOG)


def baseline(folder: Path) -> None:
    path = path_of(folder, "cpu", NVFP4)
    path.parent.mkdir(parents=True)
    shutil.copy(path_of(ROOT / "baselines", "cpu", NVFP4), path)
    damaged(path, '"digest"', '"digits"')
    read(path, NVFP4)


@pytest.mark.parametrize(
    ("read_it", "words"),
    [
        (header_of_a_run, r"run.json is damaged: lane: field required"),
        (record_of_a_run, r"records.jsonl line 1 is damaged: gate: field required"),
        (header_that_is_a_folder, r"run.json cannot be read: is a directory"),
        (entry_of_the_history, r"is no run's entry \(points: field required\); delete it"),
        (log_of_a_bisect, r"is damaged \(question: .*\); begin again with another --out"),
        (baseline, r"is no usable baseline: .*; restore it from git or record it anew"),
    ],
)
def test_a_damaged_file_is_named_with_the_place_and_no_class(
    read_it: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    with pytest.raises((RunUnreadable, HistoryDamaged, LogProblem, BaselineError), match=f"(?i){words}") as told:
        read_it(tmp_path)
    assert_plain(str(told.value))


def test_a_night_that_is_none_is_told_without_a_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"verdict": "green"}))
    assert nightly.main(["--tell", str(tmp_path)]) == 4
    assert_plain(capsys.readouterr().err)


def test_numbers_that_cannot_be_kept_are_named_without_a_class(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DIGEST, "keep", lambda now: DigestKept(sha256={"denoiser outputs": "none"}))
    outcome = gate(*cases(BF16), *gates("digest"), "--rebaseline", "--reason", "broken")
    (record,) = outcome.records
    assert record.verdict == "error"
    assert record.message.startswith("digest: what was measured cannot be recorded: sha256.denoiser outputs: ")
    assert_plain(record.message)
    assert_plain(outcome.text)


def test_what_breaks_off_is_told_without_our_classes() -> None:
    try:
        DigestKept.model_validate({"sha256": {}})
    except ValueError as problem:
        assert_plain(broken_off("digest", problem).note)


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (report.main, ("{missing}",)),
        (report.main, ("{file}",)),
        (report.main, ("{run}", "{missing}", "--out", "{out}/page.html")),
        (trend.main, ("--history", "{missing}")),
        (trend.main, ("--history", "{history}", "--baselines", "{missing}")),
        (nightly.main, ("{missing}", "--no-issues")),
        (nightly.main, ("{run}", "{missing}", "--no-issues", "--most", "0")),
        (nightly.main, ("--tell", "{missing}")),
        (bisect.main, (*QUESTION, "--checkpoint-folder", "{missing}")),
        (bisect.main, (*QUESTION, "--baselines", "{missing}")),
        (bisect.main, (*QUESTION, "--history", "{file}")),
        (bisect.main, (*QUESTION, "--index", "{missing}", "--cache", "{out}")),
        (bisect.main, (*QUESTION, "--index", "{missing}", "--out", "{file}/below")),
        (bisect.main, ("--resume", "{missing}")),
        (bisect.main, ("--resume", "{out}")),
        (compare.main, (*SIDES, "--checkpoint-folder", "{missing}")),
        (compare.main, (*SIDES, "--baselines", "{file}")),
        (compare.main, (*SIDES, "--index", "{missing}", "--cache", "{out}")),
        (compare.main, (*SIDES, "--index", "{missing}", "--out", "{file}/below")),
        (faults.main, ("--list", "--baselines", "{missing}")),
        (faults.main, ("--list", "--results", "{file}")),
        (forecast.main, ("--checkpoint-folder", "{missing}")),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else one.__module__.split(".")[1],
)
def test_a_wrong_folder_is_a_wrong_option_in_every_session(
    main: Callable[[Sequence[str]], int],
    arguments: Sequence[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.chdir(tmp_path)
    places = {name: tmp_path / name for name in ("missing", "file", "out", "history")}
    places["file"].touch()
    places["out"].mkdir()
    run = write_run(tmp_path / "runs")
    append(read_run(run), places["history"])
    given = [one.format(run=run, **places) for one in arguments]
    assert main(given) == 4
    said = capsys.readouterr()
    assert_plain(said.err + said.out)
    named = [str(places[name]) for name in ("missing", "file", "out") if f"{{{name}" in " ".join(arguments)]
    assert any(name in said.err + said.out.replace("\n", "") for name in named) or "no usable wheel" in said.err
