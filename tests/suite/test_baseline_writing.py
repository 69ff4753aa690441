"""Writing a baseline: whole or not at all, with its history."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from fixtures.judge.baseline import usable_sections
from fixtures.record import files as files_module
from fixtures.record.baseline import Baseline, BaselineError, load, path_of, stored_pictures
from fixtures.record.diff import diff, diff_table
from fixtures.record.recording import record_contributions
from fixtures.record.sections import Speed, Velocity
from fixtures.record.store import encode_png, merge_sections, save_atomic, store_pictures
from tests.suite.baseline_samples import (
    CASE,
    ELSEWHERE,
    HERE,
    OTHER_RECIPE,
    RECIPE,
    baseline,
    images,
    quality,
    saved,
    saved_with_pictures,
)


def contents(root: Path) -> dict[str, bytes]:
    """Every file below `root`."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def new_pictures(path: Path) -> tuple[Baseline, dict[str, bytes]]:
    """Another recording of the same case, with other pictures."""
    reference, files = store_pictures(path, images(shade=200), prompts=["a ring", "two stars"], dtype="float32", seed=0)
    return baseline(reference=reference, reason="second recording"), files


def test_pictures_are_lossless_and_named_after_the_case(tmp_path: Path) -> None:
    path, record = saved_with_pictures(tmp_path)
    found = stored_pictures(path, record)
    assert [file.name for file in found] == [f"{path.stem}-0.png", f"{path.stem}-1.png"]
    for file, original in zip(found, images(), strict=True):
        assert Image.open(file).tobytes() == original.tobytes()
    assert record.reference is not None
    assert record.reference.size == [12, 16]


def test_pictures_of_unequal_sizes_are_refused(tmp_path: Path) -> None:
    unequal = [*images(1), Image.new("RGB", (8, 8))]
    with pytest.raises(ValueError, match="2 sizes"):
        store_pictures(tmp_path / "a.json", unequal, prompts=["x", "y"], dtype="float32", seed=0)
    with pytest.raises(ValueError, match="2 pictures"):
        store_pictures(tmp_path / "a.json", images(2), prompts=["x"], dtype="float32", seed=0)


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
    record, pictures = new_pictures(path)
    with pytest.raises(BaselineError, match="the disk is full") as caught:
        save_atomic(path, record, pictures)
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert contents(tmp_path) == before
    assert load(path, CASE, RECIPE) == old
    stored_pictures(path, old)


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
    record, pictures = new_pictures(path)
    for given in ({}, dict(list(pictures.items())[:1]), {**pictures, "nvfp4-tiny-bs1-eager-9.png": b"png"}):
        with pytest.raises(BaselineError, match=r"picture nvfp4-tiny-bs1-eager-\d\.png"):
            save_atomic(path, record, given)
    assert contents(tmp_path) == before


def test_pictures_that_the_new_record_no_longer_names_go(tmp_path: Path) -> None:
    path, _ = saved_with_pictures(tmp_path)
    sibling = path.with_name("nvfp4-tiny-bs1-eager-regional-0.png")
    sibling.write_bytes(b"another case's")
    reference, files = store_pictures(path, images(1), prompts=["a ring"], dtype="float32", seed=0)
    save_atomic(path, baseline(reference=reference), files)
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.stem}-0.png", sibling.name}


def test_old_pictures_stay_valid_when_only_other_sections_are_recorded(tmp_path: Path) -> None:
    path, old = saved_with_pictures(tmp_path)
    merged = merge_sections(old, baseline(velocity=Velocity(per_step_db=[16.0])))
    save_atomic(path, merged)
    assert stored_pictures(path, load(path, CASE, RECIPE))


def test_a_png_is_no_larger_than_the_plain_encoder_makes_it() -> None:
    image = images(1)[0]
    plain = io.BytesIO()
    image.save(plain, "PNG")
    assert len(encode_png(image)) <= len(plain.getvalue())


NEW_STACK = {"torch": "2.15.0", "torchao": "0.19.0"}
NOT_MEASURED: dict[str, Any] = {"manifest": None, "memory": None, "digest": None, "velocity": None, "quality": {}}
NEW_SPEED = Speed(seconds=[0.4], reference_seconds=[0.2], ratio=0.5, interval=[0.45, 0.55])


def test_recording_one_gate_keeps_the_other_sections_with_their_own_history() -> None:
    old = baseline()
    new = baseline(speed=NEW_SPEED, stack=NEW_STACK, device=ELSEWHERE, reason="faster", **NOT_MEASURED)
    merged = merge_sections(old, new)
    assert merged.speed == NEW_SPEED
    assert merged.section_names() == old.section_names()
    assert merged.provenance("speed").stack == NEW_STACK
    assert merged.provenance("velocity").stack == old.stack
    assert merged.provenance("quality:lpips-alex").reason == "first recording"
    assert merged.recorded_on()["speed"] == ELSEWHERE.key
    assert merged.recorded_on()["digest"] == HERE.key
    again = merge_sections(merged, baseline(velocity=Velocity(per_step_db=[14.0]), speed=None, reason="third"))
    assert again.provenance("speed").reason == "faster"


def test_another_recipe_keeps_nothing() -> None:
    new = baseline(recipe=OTHER_RECIPE, speed=NEW_SPEED, **NOT_MEASURED)
    assert merge_sections(baseline(), new) == new
    assert merge_sections(None, new) == new


def test_recording_one_metric_keeps_the_other() -> None:
    new = baseline(quality={"st-lpips-alex": quality("st-lpips-alex")})
    merged = merge_sections(baseline(), new)
    assert set(merged.quality) == {"lpips-alex", "st-lpips-alex"}
    assert set(merged.kept) == {"quality:lpips-alex"}


def test_a_merged_record_survives_the_disk(tmp_path: Path) -> None:
    merged = merge_sections(baseline(), baseline(speed=NEW_SPEED, stack=NEW_STACK, **NOT_MEASURED))
    assert load(saved(tmp_path, merged), CASE, RECIPE) == merged


def usable(record: Baseline, *, machine: Any = "cpu", device: str = HERE.key, metric: str = "lpips-alex") -> Any:
    """What of the record may be used."""
    return usable_sections(
        recorded_on=record.recorded_on(), machine=machine, device_key=device, metric=metric, remedy="nox -s rebaseline"
    )


def test_on_the_same_device_everything_is_usable() -> None:
    assert usable(baseline()).sections == set(baseline().section_names())


def test_on_another_cpu_what_depends_on_the_model_is_skipped() -> None:
    found = usable(baseline(), device=ELSEWHERE.key)
    assert set(found.refused) == {"digest", "speed"}
    assert found.refusal("velocity", remedy="") is None
    for section in ("digest", "speed"):
        check = found.refusal(section, remedy="").check(section)
        assert check.verdict == "skip"
        assert HERE.key in check.note
        assert ELSEWHERE.key in check.note


@pytest.mark.parametrize("machine", ["b200", "hopper"])
def test_on_another_gpu_nothing_is_usable_and_nothing_is_skipped(machine: str) -> None:
    found = usable(baseline(), machine=machine, device="NVIDIA B200")
    assert found.sections == frozenset()
    for section in baseline().section_names():
        assert found.refusal(section, remedy="").check("x").verdict == "fail"


def test_each_section_goes_by_the_device_that_recorded_it() -> None:
    new = baseline(speed=NEW_SPEED, device=ELSEWHERE, **NOT_MEASURED)
    found = usable(merge_sections(baseline(), new), device=ELSEWHERE.key)
    assert set(found.refused) == {"digest"}


def test_two_metrics_are_never_compared() -> None:
    found = usable(baseline(), metric="st-lpips-alex")
    refusal = found.refusal("quality:lpips-alex", remedy="")
    assert not refusal.entitled
    assert "lpips-alex and this run uses st-lpips-alex" in refusal.reason
    missing = found.refusal("quality:st-lpips-alex", remedy="nox -s rebaseline -- x")
    assert missing.check("x").verdict == "fail"
    assert "nox -s rebaseline -- x" in missing.reason


def shown(old: Baseline | None, new: Baseline) -> str:
    """The table of changes as a terminal shows it."""
    console = Console(width=110, record=True, file=io.StringIO())
    console.print(diff_table(diff(old, new)))
    return console.export_text()


def test_old_stands_against_new() -> None:
    text = shown(baseline(), baseline(speed=NEW_SPEED, digest=None, stack=NEW_STACK))
    row = next(line for line in text.splitlines() if "speedup" in line)
    assert [cell for cell in ("0.41", "0.5", "+22.0%") if cell not in row] == []
    assert "moved" in next(line for line in text.splitlines() if "stack torch " in line)
    assert "gone" in next(line for line in text.splitlines() if "digest" in line)


def test_a_first_recording_has_nothing_to_stand_against() -> None:
    assert all(change.old == "" and change.change == "new" for change in diff(None, baseline()))
    assert not any(change.moved for change in diff(baseline(), baseline()))


def recorded(path: Path, *, refused: tuple[str, ...] = (), **sections: object) -> tuple[list[str], str]:
    """What a rebaseline says and shows."""
    console = Console(width=110, record=True, file=io.StringIO())
    said = record_contributions(
        {CASE: sections} if sections else {},
        {},
        refused=refused,
        paths={CASE: path},
        recipes={CASE: RECIPE},
        reason="a faster machine",
        device=HERE,
        stack=NEW_STACK,
        show=console.print,
    )
    return said, console.export_text()


def test_a_rebaseline_of_one_gate_shows_and_keeps_the_others(tmp_path: Path) -> None:
    path = saved(tmp_path)
    said, table = recorded(path, speed=NEW_SPEED)
    assert said == [f"{CASE}: recorded speed"]
    assert "gone" not in table
    assert "+22.0%" in table
    assert load(path, CASE, RECIPE).provenance("speed").reason == "a faster machine"
    assert load(path, CASE, RECIPE).velocity == baseline().velocity


def test_a_rebaseline_replaces_a_damaged_record(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_text("{")
    recorded(path, speed=NEW_SPEED, quality=quality())
    assert load(path, CASE, RECIPE).section_names() == ("speed", "quality:lpips-alex")


def test_a_rebaseline_never_records_a_red_case(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = contents(tmp_path)
    said, _ = recorded(path, refused=(CASE,), speed=NEW_SPEED)
    assert "not recorded, because one of its gates is red" in said[0]
    assert contents(tmp_path) == before
    assert "nothing was recorded" in recorded(path)[0][0]
