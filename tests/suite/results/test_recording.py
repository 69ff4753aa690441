"""What a new recording keeps of the old one, which sections a device may use, and what a person is shown."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fixtures.catalog import parse_case
from fixtures.catalog.limits import Limits
from fixtures.catalog.schema import Machine
from fixtures.gates.base import ALL, Applies, Conclusion, Explanation, Gate, Kept, Missing, Result
from fixtures.gates.context import Context
from fixtures.gates.registry import AnyGate
from fixtures.gates.verdict import Cause, Check, Verdict, equals, settle
from fixtures.results.baseline import load, path_of
from fixtures.results.baselines import StoredBaselines
from fixtures.results.diff import diff
from fixtures.results.recording import Recording
from fixtures.results.store import merge_sections
from tests.suite.baseline_samples import (
    CASE,
    ELSEWHERE,
    FASTER,
    HERE,
    OTHER_RECIPE,
    RECIPE,
    baseline,
    contents,
    pictures,
    quality,
    saved,
    saved_with_pictures,
)

NEW_STACK = {"torch": "2.15.0", "torchao": "0.19.0"}
ELSEWHERE_IN_JSON = ELSEWHERE.model_dump(exclude_none=True)
PARSED = parse_case(CASE)


class Quiet(Gate[Result, Kept]):
    """A gate that measures nothing."""

    order, asserts, applies, result = 1, "nothing", Applies(checkpoints=ALL, formats="all"), Result
    kept = Kept

    def measure(self, ctx: Context) -> Result:
        return Result()

    def judge(self, now: Result, limits: Limits, before: Kept | Missing) -> list[Check]:
        return []


def gate(called: str, **features: object) -> AnyGate:
    """A stand-in for the gate of this name; speed and digest depend on the device, quality on the metric."""
    known = {"device_bound": called in {"speed", "digest"}, "judged_by_metric": called == "quality"}
    made: AnyGate = type("StandIn", (Quiet,), {"name": called, **known, **features})()
    return made


# ---- a new record and the old one ----------------------------------------------------------------------------------


def test_recording_one_gate_keeps_the_other_sections_with_their_own_history(tmp_path: Path) -> None:
    old = baseline()
    new = baseline(only="speed", speed=FASTER, stack=NEW_STACK, device=ELSEWHERE_IN_JSON, reason="faster")
    merged = merge_sections(old, new)
    assert merged.sections() == old.sections() | new.sections()
    assert (merged.provenance("speed").stack, merged.provenance("speed").device) == (NEW_STACK, ELSEWHERE)
    assert (merged.provenance("velocity").stack, merged.provenance("digest").device) == (old.stack, HERE)
    assert merged.provenance("quality:lpips-alex").reason == "first recording"
    again = merge_sections(merged, baseline(only="velocity", reason="third"))
    assert again.provenance("speed").reason == "faster"
    assert load(saved(tmp_path, again), CASE, RECIPE) == again


def test_another_recipe_keeps_nothing() -> None:
    new = baseline(only="speed", recipe=OTHER_RECIPE)
    assert merge_sections(baseline(), new) == new
    assert merge_sections(None, new) == new


def test_recording_one_metric_keeps_the_other() -> None:
    merged = merge_sections(baseline(), baseline(quality={"st-lpips-alex": quality("st-lpips-alex")}))
    assert {"quality:lpips-alex", "quality:st-lpips-alex"} <= set(merged.sections())
    assert set(merged.kept) == {"quality:lpips-alex"}


# ---- what a run may use --------------------------------------------------------------------------------------------


def stored(
    root: Path, *, machine: Machine = "cpu", device: str = HERE.key, metric: str = "lpips-alex", **changes: Any
) -> StoredBaselines:
    """The baselines of a run on this device."""
    parts: dict[str, Any] = {"recipe": lambda _: RECIPE, "metric": lambda: metric, **changes}
    return StoredBaselines(root=root, machine=machine, device_key=device, **parts)


def refused(found: Kept | Missing) -> Missing:
    """What stands in a section's place."""
    assert isinstance(found, Missing)
    return found


@pytest.mark.parametrize("name", ["manifest", "velocity", "quality", "speed", "memory", "digest"])
def test_on_the_same_device_every_section_is_used(tmp_path: Path, name: str) -> None:
    saved(tmp_path)
    section = f"{name}:lpips-alex" if name == "quality" else name
    assert stored(tmp_path).kept(PARSED, gate(name)) == baseline().sections()[section]


def test_where_no_baselines_are_kept_what_needs_one_is_skipped(tmp_path: Path) -> None:
    saved(tmp_path)
    there = stored(tmp_path, keeps=False)
    for missing in (refused(there.kept(PARSED, gate("velocity"))), there.pictures(PARSED)):
        assert isinstance(missing, Missing)
        assert missing.check("velocity").verdict is Verdict.SKIP
        assert "no baselines are kept for this kind of machine" in missing.reason


def test_on_another_cpu_what_depends_on_the_model_is_skipped(tmp_path: Path) -> None:
    saved(tmp_path)
    there = stored(tmp_path, device=ELSEWHERE.key)
    assert there.kept(PARSED, gate("velocity")) == baseline().sections()["velocity"]
    for name in ("digest", "speed"):
        check = refused(there.kept(PARSED, gate(name))).check(name)
        said = f"{name} depends on the CPU model: recorded on {HERE.key}, this is {ELSEWHERE.key}"
        assert (check.verdict, check.note) == (Verdict.SKIP, said)


@pytest.mark.parametrize("machine", ["b200", "hopper"])
def test_on_another_gpu_nothing_is_used_and_nothing_is_skipped(tmp_path: Path, machine: Machine) -> None:
    saved(tmp_path).parents[1].rename(tmp_path / machine)
    check = refused(stored(tmp_path, machine=machine, device="NVIDIA B200").kept(PARSED, gate("memory"))).check("x")
    assert (check.verdict, check.cause) == (Verdict.FAIL, Cause.NO_BASELINE)
    recorded = f"the baseline's memory was recorded on {HERE.key} and this is NVIDIA B200; record it"
    assert check.note.startswith(recorded)


def test_each_section_goes_by_the_device_that_recorded_it(tmp_path: Path) -> None:
    new = baseline(only="speed", speed=FASTER, device=ELSEWHERE_IN_JSON)
    saved(tmp_path, merge_sections(baseline(), new))
    there = stored(tmp_path, device=ELSEWHERE.key)
    assert there.kept(PARSED, gate("speed")) == new.sections()["speed"]
    assert isinstance(there.kept(PARSED, gate("digest")), Missing)


def test_two_metrics_are_never_compared(tmp_path: Path) -> None:
    saved(tmp_path)
    missing = refused(stored(tmp_path, metric="st-lpips-alex").kept(PARSED, gate("quality")))
    assert (missing.cause, missing.entitled, missing.whole) == (Cause.NO_BASELINE, False, False)
    assert missing.reason.startswith("the baseline has no quality:st-lpips-alex section; record it")


@pytest.mark.parametrize(
    ("text", "recipe", "cause", "said"),
    [
        (None, RECIPE, Cause.NO_BASELINE, "is missing; record it"),
        (None, OTHER_RECIPE, Cause.NO_BASELINE, "is missing"),
        ("whole", OTHER_RECIPE, Cause.NO_BASELINE, "was recorded for another recipe"),
        ("{", RECIPE, Cause.BROKEN_BASELINE, "is no usable baseline"),
    ],
)
def test_a_baseline_that_cannot_be_read_says_why(
    tmp_path: Path, text: str | None, recipe: str, cause: Cause, said: str
) -> None:
    if text is not None:
        path = saved(tmp_path)
        path.write_text(path.read_text() if text == "whole" else text)
    here = stored(tmp_path, recipe=lambda _: recipe)
    for missing in (refused(here.kept(PARSED, gate("velocity"))), here.pictures(PARSED)):
        assert isinstance(missing, Missing)
        assert (missing.cause, missing.entitled, missing.whole) == (cause, False, True)
        assert said in missing.reason


def test_while_recording_nothing_stored_is_read(tmp_path: Path) -> None:
    saved(tmp_path).write_text("{")
    recording = stored(tmp_path, recording=True)
    assert refused(recording.kept(PARSED, gate("speed"))).cause is Cause.RECORDING
    missing = recording.pictures(PARSED)
    assert isinstance(missing, Missing)
    assert missing.cause is Cause.RECORDING


def test_stored_pictures_come_as_numbers_or_say_what_is_wrong(tmp_path: Path) -> None:
    path, _ = saved_with_pictures(tmp_path)
    found = stored(tmp_path).pictures(PARSED)
    assert not isinstance(found, Missing)
    assert found.shape == (2, 12, 16, 3)
    path.with_name(f"{path.stem}-1.png").unlink()
    missing = stored(tmp_path).pictures(PARSED)
    assert isinstance(missing, Missing)
    assert (missing.cause, missing.whole) == (Cause.BROKEN_BASELINE, False)


# ---- recording a case ----------------------------------------------------------------------------------------------


def conclusion(kept: Kept | None, files: dict[str, bytes]) -> Conclusion[Result, Kept]:
    """What a gate came to."""
    judgement = settle([equals("n", 1, 1)])
    return Conclusion(result=Result(), judgement=judgement, explanation=Explanation(), kept=kept, files=files)


def recorded(
    root: Path, *, red: tuple[str, ...] = (), files: dict[str, bytes] | None = None, **sections: Any
) -> tuple[list[str], str]:
    """What a rebaseline of a case says and shows."""
    console = Console(width=110, record=True, file=io.StringIO())
    recording = Recording(
        root=root,
        machine="cpu",
        recipe=lambda _: RECIPE,
        reason="a faster machine",
        device=HERE,
        stack=NEW_STACK,
        show=console.print,
    )
    kept = baseline(only="none", **sections).sections() if sections else {}
    for name in dict.fromkeys([*(name.partition(":")[0] for name in kept), *red]):
        section = next((part for key, part in kept.items() if key.partition(":")[0] == name), None)
        verdict = Verdict.FAIL if name in red else Verdict.PASS
        recording.add(PARSED, gate(name), conclusion(section, files or {}), verdict=verdict)
    return recording.write(PARSED), console.export_text()


def test_a_rebaseline_of_one_gate_shows_and_keeps_the_others(tmp_path: Path) -> None:
    said, table = recorded(saved(tmp_path).parents[2], speed=FASTER)
    assert said == [f"{CASE}: recorded speed"]
    assert "gone" not in table
    record = load(path_of(tmp_path, "cpu", CASE), CASE, RECIPE)
    assert record.provenance("speed").reason == "a faster machine"
    assert record.sections()["velocity"] == baseline().sections()["velocity"]


def test_a_rebaseline_replaces_a_damaged_record_and_writes_its_pictures(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_text("{")
    section, files = pictures(path.stem)
    said, _ = recorded(tmp_path, files=files, quality={"lpips-alex": quality()}, reference=section)
    assert said[0] == f"{CASE}: recorded reference, quality:lpips-alex"
    assert said[1].startswith(f"{CASE}: nothing was kept of the old record: {path} is no usable baseline")
    assert set(contents(tmp_path)) == {f"cpu/{CASE}.json", *(f"cpu/flux1-dev/{name}" for name in files)}


def test_a_red_gate_refuses_its_own_section_and_nothing_else(tmp_path: Path) -> None:
    saved(tmp_path)
    said, _ = recorded(tmp_path, red=("speed", "velocity"), speed=FASTER, memory={"peak_bytes": 7})
    assert said == [f"{CASE}: recorded memory; not speed, velocity, because speed and velocity are red"]
    record = load(path_of(tmp_path, "cpu", CASE), CASE, RECIPE)
    assert record.sections()["speed"] == baseline().sections()["speed"], "as it was recorded before"
    assert record.provenance("memory").reason == "a faster machine"


def test_nothing_is_written_where_nothing_may_be(tmp_path: Path) -> None:
    saved(tmp_path)
    before = contents(tmp_path)
    said, _ = recorded(tmp_path, red=("speed",), speed=FASTER)
    assert said == [f"{CASE}: not recorded, because speed is red; mend it or its limit first"]
    assert recorded(tmp_path)[0][0].startswith(f"{CASE}: nothing was recorded: no gate of this selection keeps")
    assert contents(tmp_path) == before


# ---- old against new -----------------------------------------------------------------------------------------------


def test_old_stands_against_new(tmp_path: Path) -> None:
    changes = diff(baseline(), baseline(digest=None, stack=NEW_STACK))
    told = {change.quantity: (change.old, change.new, change.change) for change in changes}
    assert told["stack torch"] == ("2.14.1", "2.15.0", "moved")
    assert told["digest picture 0"] == ("12" * 6, "", "gone")
    assert told["recipe"][2] == ""
    assert not any(change.moved for change in diff(baseline(), baseline()))
    assert all(change.old == "" and change.change == "new" for change in diff(None, baseline()))


def test_numbers_are_told_with_their_change() -> None:
    old, new = baseline(only="memory"), baseline(only="memory", memory={"peak_bytes": 50_000_000})
    (change,) = [change for change in diff(old, new) if change.quantity == "peak GB"]
    assert (change.old, change.new, change.change) == ("0.04", "0.05", "+25.0%")
