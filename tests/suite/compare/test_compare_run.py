"""Whole comparisons with real wheels, checkouts and git, and a small stand-in for the suite."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.bisect.probe import ProbeTools
from fixtures.catalog.packages import PACKAGES
from fixtures.compare import __main__ as compare
from tests.suite.bisect_stand_in import CASE, asked, stand_in_for_the_suite, wheels
from tests.suite.tiny_wheels import make_wheel


@pytest.fixture
def stand_in(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> ProbeTools:
    monkeypatch.chdir(tmp_path)
    kinds = {"0.1": "good", "0.2": "good", "0.3": "bad", "0.4": "noisy", "0.5": "error"}
    wheels(tmp_path / "offers", kinds)
    return stand_in_for_the_suite(tmp_path / "suite", base)


def run(tmp_path: Path, tools: ProbeTools, *arguments: str) -> int:
    kept = ["--index", "offers", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    return compare.main([*arguments, *kept, "--case", CASE, "--gate", "velocity"], tools=tools)


def change(tmp_path: Path) -> str:
    rows = json.loads((tmp_path / "out" / "compare.json").read_text())["rows"]
    return str({row[2]: row[5] for row in rows[1:]}["sqnr"])


def test_processes_of_both_stacks_alternate_and_one_table_says_it(
    tmp_path: Path, stand_in: ProbeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, stand_in, "--a", "torchao=0.1", "--b", "torchao=0.3") == 1
    assert asked(stand_in) == ["0.1", "0.3", "0.1", "0.3"]
    said = capsys.readouterr()
    (row,) = [line for line in said.out.splitlines() if " sqnr " in line and "->" not in line]
    assert row.split()[-7:] == ["20", "dB", "9.5", "dB", "worse", "pass", "fail"]
    assert "page: out/compare.html" in said.err
    assert "b against a: 1 worse" in said.out
    assert "exit code 1: on the worse of the two stacks at least one gate failed" in said.out
    ends = f"--good torchao=0.1 --bad torchao=0.3 --index {Path('offers').absolute()}"
    assert f"next: nox -s bisect -- --case c --gate velocity {ends}" in said.out, "with the options that it had"
    assert "worse" in (tmp_path / "out" / "compare.html").read_text()
    assert not (tmp_path / "out" / "environment-a").exists()


def test_what_differs_between_processes_of_one_stack_is_noise(tmp_path: Path, stand_in: ProbeTools) -> None:
    assert run(tmp_path, stand_in, "--a", "torchao=0.4", "--b", "torchao=0.1") == 0
    assert change(tmp_path) == "better"
    assert run(tmp_path, stand_in, "--a", "torchao=0.4", "--b", "torchao=0.4+x") == 4
    make_wheel(tmp_path / "offers", "torchao", "0.4.1", "version, kind = '0.4.1', 'noisy'\n")
    assert run(tmp_path, stand_in, "--a", "torchao=0.4", "--b", "torchao=0.4.1", "--margin", "0") == 0
    assert change(tmp_path) == "within noise"


def test_margin_decides_where_it_is_given(tmp_path: Path, stand_in: ProbeTools) -> None:
    assert run(tmp_path, stand_in, "--a", "torchao=0.1", "--b", "torchao=0.3", "--margin", "20") == 0
    assert run(tmp_path, stand_in, "--a", "torchao=0.1", "--b", "torchao=0.3", "--margin", "5", "--rounds", "1") == 1
    assert run(tmp_path, stand_in, "--a", "torchao=0.3", "--b", "torchao=0.1", "--margin", "5", "--rounds", "1") == 0
    assert run(tmp_path, stand_in, "--a", "torchao=0.1", "--b", "torchao=0.5", "--margin", "99", "--rounds", "1") == 1


def test_error_on_a_stack_is_code_7(tmp_path: Path, stand_in: ProbeTools) -> None:
    assert run(tmp_path, stand_in, "--a", "torchao=0.5", "--b", "torchao=0.1", "--rounds", "1") == 7


def checkout(folder: Path) -> Path:
    """A checkout of torchao with a good release, tagged v1, and a bad branch; a file of it is changed and not
    committed."""
    folder.mkdir()

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)

    git("init", "--quiet", "--initial-branch=main")
    (folder / "setup.py").write_text("from setuptools import setup; setup()\n")
    (folder / "torchao.py").write_text("version, kind = 'v1', 'good'\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "good")
    git("tag", "v1")
    git("checkout", "--quiet", "-b", "feature")
    (folder / "torchao.py").write_text("version, kind = 'feature', 'bad'\n")
    git("commit", "--quiet", "-a", "-m", "bad")
    git("checkout", "--quiet", "main")
    (folder / "torchao.py").write_text("version, kind = 'edited', 'good'\n")
    return folder


def test_stacks_are_wheels_checkouts_and_refs_of_local_and_public_repositories(
    tmp_path: Path, stand_in: ProbeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkout(tmp_path / "ao")
    monkeypatch.setitem(PACKAGES, "torchao", replace(PACKAGES["torchao"], repository=str(folder)))
    for given in ("offers/torchao-0.1-py3-none-any.whl", "ao", "ao@v1", "git:v1"):
        assert run(tmp_path, stand_in, "--a", f"torchao={given}", "--b", "torchao=ao@feature", "--rounds", "1") == 1, (
            given
        )
    assert asked(stand_in) == ["0.1", "feature", "edited", "feature", "v1", "feature", "v1", "feature"]
    assert (folder / "torchao.py").read_text().startswith("version, kind = 'edited'")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--a", "torchao=0.1", "--b", "torchao=0.1"], 4, "both sides are the same"),
        (["--a", "torchao=9.9"], 4, "torchao=9.9: not offered here"),
        (["--a", "torchao=nowhere.whl"], 4, "there is no such wheel"),
        (["--a", "torchao=nowhere"], 4, "neither a version nor the path of a wheel or checkout"),
        (["--a", "torchao=ao@nothing"], 4, "has no branch, tag or commit nothing"),
        (["--a", "torchao=git:-x"], 4, "name a branch, a tag or a commit"),
        (["--a", "torchao=0.1", "--rounds", "0"], 4, "--rounds is a number from 1 up"),
        (["--a", "numpy=1"], 4, "unknown package 'numpy'"),
        (["--a", "torchao=0.7"], 7, "is damaged"),
    ],
)
def test_bad_stacks_end_in_one_sentence(
    tmp_path: Path,
    stand_in: ProbeTools,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    checkout(tmp_path / "ao")
    (tmp_path / "offers" / "torchao-0.7-py3-none-any.whl").write_bytes(b"half")
    assert run(tmp_path, stand_in, *arguments) == code
    assert words in capsys.readouterr().err.strip().splitlines()[-1]
