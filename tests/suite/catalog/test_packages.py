"""The table of packages: one entry makes a package an override, a recorded package and an axis of a bisect."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures.catalog import packages as table
from fixtures.catalog.files import EntryFileProblem
from fixtures.stack.environment import choose
from fixtures.stack.installed import import_problems, installed

TRITON = """
from fixtures.catalog.packages import Package
PACKAGE = Package(name="triton", repository="https://github.com/triton-lang/triton", modules=("triton.language",))
"""


@pytest.fixture
def triton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "triton.py"
    file.write_text(TRITON)
    monkeypatch.setenv(table.EXTRA, str(file))
    return file


def test_one_file_adds_a_package(triton: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = choose("released", ["--triton", "3.8.0", "-x"], tmp_path)
    (override,) = choice.overrides
    assert (override.package, override.requirement, choice.rest) == ("triton", "triton==3.8.0", ("-x",))
    assert "triton==3.8.0" in choice.environment.steps[0].requirements
    assert table.axes()[-1] == table.overridable()[-1] == "triton"
    site = tmp_path / "site" / "triton-3.8.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: triton\nVersion: 3.8.0\n")
    monkeypatch.syspath_prepend(str(site.parent))
    assert installed().as_dict()["triton"] == "3.8.0"
    asked: list[str] = []
    assert not import_problems(asked.append)
    assert asked[-1] == "triton.language"


def test_what_moves_with_another_is_no_axis_of_its_own() -> None:
    assert table.moving_with("torch") == ("torchvision",)
    assert set(table.axes()) == set(table.overridable()) - {"torchvision"}
    assert table.nightly() == ("torch", "torchvision", "torchao", "mslk")


def test_file_that_describes_no_new_package_is_named(
    triton: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again.py"
    again.write_text(TRITON)
    (tmp_path / "none.py").write_text("PACKAGE = 'triton'\n")
    for name, words in (("again.py", "describes triton, which is there already"), ("none.py", "that is no Package")):
        monkeypatch.setenv(table.EXTRA, os.pathsep.join([str(triton), str(tmp_path / name)]))
        with pytest.raises(EntryFileProblem, match=words):
            table.packages()
