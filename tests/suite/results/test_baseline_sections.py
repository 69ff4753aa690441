"""A baseline's sections: what a new recording keeps of the old one, which of them a device may use, what changed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fixtures.gates.usable import usable_sections
from fixtures.report.diff import diff, diff_table
from fixtures.results.baseline import Baseline, load
from fixtures.results.recording import record_contributions
from fixtures.results.sections import Speed, Velocity
from fixtures.results.store import merge_sections
from tests.suite.baseline_samples import CASE, ELSEWHERE, HERE, OTHER_RECIPE, RECIPE, baseline, contents, quality, saved

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
