"""The table of packages: one entry makes a package an override, a recorded package and an axis of a bisect."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures.catalog import packages as table
from fixtures.catalog.files import EntryFileProblem
from fixtures.stack.environment import choose
from fixtures.stack.installed import import_problems, installed

PEFT = """
from fixtures.catalog.packages import Package
PACKAGE = Package(name="peft", repository="https://github.com/huggingface/peft", modules=("peft.tuners",))
"""


@pytest.fixture
def peft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "peft.py"
    file.write_text(PEFT)
    monkeypatch.setenv(table.EXTRA, str(file))
    return file


def test_one_file_adds_a_package(peft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = choose("released", ["--peft", "0.20.0", "-x"], tmp_path)
    (override,) = choice.overrides
    assert (override.package, override.requirement, choice.rest) == ("peft", "peft==0.20.0", ("-x",))
    assert "peft==0.20.0" in choice.environment.steps[0].requirements
    assert table.axes()[-1] == table.overridable()[-1] == "peft"
    site = tmp_path / "site" / "peft-0.20.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: peft\nVersion: 0.20.0\n")
    monkeypatch.syspath_prepend(str(site.parent))
    assert installed().as_dict()["peft"] == "0.20.0"
    asked: list[str] = []
    assert not import_problems(asked.append)
    assert asked[-1] == "peft.tuners"


def test_what_moves_with_another_is_no_axis_of_its_own() -> None:
    assert table.moving_with("torch") == ("torchvision",)
    assert set(table.axes()) == set(table.overridable()) - {"torchvision"}
    assert table.nightly() == ("torch", "torchvision", "torchao", "mslk")
    assert table.bound_to("torch") == ("triton",)
    assert {"triton", "mslk"} <= set(table.axes())


def test_distribution_tells_the_package_that_it_brings() -> None:
    found = [table.package_of(name) for name in ("mslk-cuda", "mslk-cuda-nightly", "mslk", "triton", "pytest")]
    assert found == ["mslk", "mslk", "mslk", "triton", "pytest"]


def test_file_that_describes_no_new_package_is_named(
    peft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again.py"
    again.write_text(PEFT)
    (tmp_path / "none.py").write_text("PACKAGE = 'peft'\n")
    for name, words in (("again.py", "describes peft, which is there already"), ("none.py", "that is no Package")):
        monkeypatch.setenv(table.EXTRA, os.pathsep.join([str(peft), str(tmp_path / name)]))
        with pytest.raises(EntryFileProblem, match=words):
            table.packages()
