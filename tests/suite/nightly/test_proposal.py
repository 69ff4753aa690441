"""A pull request's text shows recorded baselines, old against new, with pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fixtures.nightly import proposal
from tests.suite.baseline_samples import CASE, baseline, saved, saved_with_pictures

LINKS = ["--old-files", "https://host/raw/old/baselines", "--new-files", "https://host/raw/new/baselines/"]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal folders of baselines."""
    saved(tmp_path / "old")
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    return tmp_path / "old", tmp_path / "new"


def test_equal_baselines_propose_nothing(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert proposal.main(list(map(str, folders))) == proposal.EXIT_NOTHING
    assert proposal.main([str(folders[0]), str(tmp_path / "nowhere")]) == proposal.EXIT_USAGE
    assert "no baseline differs" in capsys.readouterr().err


def test_what_moved_stands_beside_what_was_and_only_that(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = folders
    shutil.rmtree(new)
    saved(new, baseline(velocity={"per_step_db": [15.5, 16.1, 12.0]}, reason="new | torchao"))
    assert proposal.main(["--propose", str(old), str(new), *LINKS]) == 0
    said = capsys.readouterr().out
    assert said.startswith("1 baselines, 0 of them new. Reason: new \\| torchao.")
    assert f"### {CASE}\n" in said
    assert "| 15.5 | 12 |" in said
    assert "stack torch" not in said


def test_pictures_that_moved_are_shown_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, shade in (("old", 90), ("new", 91)):
        saved_with_pictures(tmp_path / name, shade=shade)
    assert proposal.main([str(tmp_path / "old"), str(tmp_path / "new"), *LINKS]) == 0
    said = capsys.readouterr().out
    picture = "baselines/cpu/flux1-dev/nvfp4-tiny-bs1-eager-0.png"
    assert f"| ![recorded](https://host/raw/old/{picture}) | ![now](https://host/raw/new/{picture}) |" in said
    assert proposal.main([str(tmp_path / "nothing"), str(tmp_path / "new"), *LINKS]) == 0
    assert f"| none | ![now](https://host/raw/new/{picture}) |" in capsys.readouterr().out


def test_recorded_baseline_that_was_edited_is_replaced_and_named(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = folders[0].rglob("*.json")
    path.write_text(path.read_text().replace("15.5", "9.5"))
    assert proposal.main(list(map(str, folders))) == 0
    said = capsys.readouterr().out
    assert f"### {CASE} (new)" in said
    assert f"What was recorded cannot be used: {path} was changed by hand" in said


def test_damaged_record_is_named(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = folders[1].rglob("*.json")
    path.write_text("{")
    assert proposal.main(list(map(str, folders))) == proposal.EXIT_USAGE
    assert path.name in capsys.readouterr().err
