"""Writing a baseline: whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from fixtures.results import files as files_module
from fixtures.results.baseline import Baseline, BaselineError, load, path_of, stored_files
from fixtures.results.store import merge_sections, save_atomic
from tests.suite.baseline_samples import CASE, RECIPE, baseline, contents, pictures, saved, saved_with_pictures


def new_pictures(path: Path) -> tuple[Baseline, dict[str, bytes]]:
    """Another recording of the same case, with other pictures."""
    reference, files = pictures(path.stem, shade=200)
    return baseline(reference=reference, reason="second recording"), files


@pytest.mark.parametrize("failing", [1, 2, 3], ids=["first picture", "second picture", "record"])
@pytest.mark.parametrize("step", ["write", "replace"])
def test_a_failure_anywhere_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, step: str
) -> None:
    path, old = saved_with_pictures(tmp_path)
    before, calls = contents(tmp_path), 0

    def counted(real: Any) -> Any:
        def call(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments)

        return call

    if step == "write":
        monkeypatch.setattr(files_module, "_stage", counted(files_module._stage))
    else:
        monkeypatch.setattr(Path, "replace", counted(Path.replace))
    record, files = new_pictures(path)
    with pytest.raises(BaselineError, match="the disk is full") as caught:
        save_atomic(path, record, files)
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert contents(tmp_path) == before
    assert load(path, CASE, RECIPE) == old
    stored_files(path, old)


def test_a_kill_before_the_record_is_replaced_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path)
    before = contents(tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        save_atomic(path, baseline(reason="second recording"))
    assert contents(tmp_path) == before


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "cpu").write_text("a file in the way")
    path = path_of(tmp_path, "cpu", CASE)
    with pytest.raises(BaselineError, match=r"was not written: .*; what was recorded before is untouched") as caught:
        save_atomic(path, baseline())
    assert "\n" not in str(caught.value)


def test_a_read_only_folder_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path)

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BaselineError, match="the file system is read-only"):
        save_atomic(path, baseline(reason="second recording"))


def test_a_record_is_not_written_without_its_pictures(tmp_path: Path) -> None:
    path, _ = saved_with_pictures(tmp_path)
    before = contents(tmp_path)
    record, files = new_pictures(path)
    for given in ({}, dict(list(files.items())[:1]), {**files, "nvfp4-tiny-bs1-eager-9.png": b"png"}):
        with pytest.raises(BaselineError, match=r"picture nvfp4-tiny-bs1-eager-\d\.png"):
            save_atomic(path, record, given)
    assert contents(tmp_path) == before


def test_pictures_that_the_new_record_no_longer_names_go(tmp_path: Path) -> None:
    path, _ = saved_with_pictures(tmp_path)
    sibling = path.with_name("nvfp4-tiny-bs1-eager-regional-0.png")
    sibling.write_bytes(b"another case's")
    reference, files = pictures(path.stem, 1)
    save_atomic(path, baseline(reference=reference), files)
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.stem}-0.png", sibling.name}


def test_old_pictures_stay_valid_when_only_other_sections_are_recorded(tmp_path: Path) -> None:
    path, old = saved_with_pictures(tmp_path)
    merged = merge_sections(old, baseline(velocity={"per_step_db": [16.0]}))
    save_atomic(path, merged)
    assert stored_files(path, load(path, CASE, RECIPE))
