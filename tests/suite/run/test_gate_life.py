"""The life of a baseline as the gate lives it: recorded, compared, damaged, foreign, recorded again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.faults.in_matmul import one_bit_moves, products_become_nan
from fixtures.faults.in_pipeline import pictures_are_white
from fixtures.faults.patching import Patch
from fixtures.gates.digest import DigestKept
from fixtures.gates.reference import ReferenceKept
from fixtures.gates.registry import find_gate
from fixtures.gates.verdict import Cause, ExitCode, Verdict, skipped
from fixtures.results.baseline import path_of, read
from fixtures.results.records import typed
from fixtures.results.seal import sealed
from tests.suite.gate_runs import BF16, METRIC, NVFP4, Gate, Outcome, cases, gates

Fields = dict[str, Any]
QUICK = (*cases(NVFP4), *gates("manifest"))
RECORD = f'nox -s rebaseline -- {NVFP4} --reason "..."'


def rewritten(root: Path, change: Callable[[Fields], object], case: str = NVFP4) -> Path:
    """The case's record as it were if recording had written it after `change`."""
    path = path_of(root, "cpu", case)
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(sealed(fields))
    return path


def red(outcome: Outcome, *, says: str) -> None:
    """The manifest gate failed for this one reason, in one line that names the command that mends it."""
    record = outcome.record("manifest")
    assert record.verdict == "fail", outcome.text
    assert says in record.message
    assert typed(record.next).startswith(RECORD.partition(" --reason")[0])
    assert "\n" not in record.message
    assert outcome.code == ExitCode.FAIL


# ---- what is recorded ----------------------------------------------------------------------------------------------


def test_the_first_recording_says_what_it_wrote(recording: tuple[Gate, Outcome]) -> None:
    gate, outcome = recording
    assert outcome.says("What would be recorded")
    assert outcome.says(f"{NVFP4}: recorded manifest, memory, velocity, quality:{METRIC}, digest")
    assert outcome.says(f"{BF16}: recorded reference, digest")
    baseline = read(path_of(gate.baselines, "cpu", NVFP4), NVFP4)
    assert baseline.reason == "what the tests compare with"
    assert baseline.stack["torch"]
    pictures = read(path_of(gate.baselines, "cpu", BF16), BF16).sections()["reference"]
    assert isinstance(pictures, ReferenceKept)
    assert pictures.dtype == "float32"
    assert pictures.size == [128, 128]


def test_a_rebaseline_without_a_reason_is_refused(gate: Gate, own_baselines: Path) -> None:
    before = path_of(own_baselines, "cpu", NVFP4).read_bytes()
    for reason in ((), ("--reason", "  ")):
        outcome = gate(*QUICK, "--rebaseline", *reason, baselines=own_baselines)
        assert outcome.code == 4
        assert outcome.says('a rebaseline needs a reason: nox -s rebaseline -- <case> --reason "why it is normal"')
    assert path_of(own_baselines, "cpu", NVFP4).read_bytes() == before


def test_a_rebaseline_shows_old_against_new_and_keeps_what_it_did_not_measure(
    gate: Gate, own_baselines: Path, patch: Patch
) -> None:
    one_bit_moves(patch)
    path = path_of(own_baselines, "cpu", NVFP4)
    old = read(path, NVFP4)
    selection = (*cases(NVFP4), *gates("digest"))
    outcome = gate(*selection, "--rebaseline", "--reason", "one bit moved", baselines=own_baselines)
    assert outcome.code == ExitCode.GREEN, outcome.text
    new = read(path, NVFP4)
    before, after = old.sections(), new.sections()
    for digest in (before.pop("digest"), after.pop("digest")):
        assert isinstance(digest, DigestKept)
        assert digest.sha256["denoiser outputs"][:12] in outcome.text
    assert new.sections()["digest"] != old.sections()["digest"]
    assert "moved" in outcome.text
    assert after == before
    assert new.provenance("digest").reason == "one bit moved"
    assert new.provenance("velocity").reason == "what the tests compare with"
    assert gate(*selection, baselines=own_baselines).record("digest").message.startswith("moved 0")


def test_a_rebaseline_that_recorded_is_green_beside_a_case_that_cannot_be_measured_here(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = find_gate("digest")
    said = iter([[], [skipped("denoiser outputs", "this machine cannot draw it")]])
    monkeypatch.setattr(type(digest), "judge", lambda *_: next(said))
    selection = (*cases(BF16, NVFP4), *gates("digest"), "--rebaseline", "--reason", "what is normal")
    outcome = gate(*selection, baselines=tmp_path)
    assert outcome.code == ExitCode.GREEN, outcome.text
    assert sorted(record.verdict for record in outcome.records) == [Verdict.PASS, Verdict.SKIP]
    assert outcome.says(": recorded digest")
    assert not outcome.says("nothing is proven")


def test_a_red_gate_records_nothing_and_refuses_nothing_but_its_own_section(
    gate: Gate, own_baselines: Path, patch: Patch
) -> None:
    products_become_nan(patch)
    path = path_of(own_baselines, "cpu", NVFP4)
    before, rebaseline = path.read_bytes(), ("--rebaseline", "--reason", "why not")
    outcome = gate(*cases(NVFP4), *gates("velocity"), *rebaseline, baselines=own_baselines)
    assert outcome.code == ExitCode.ERROR
    assert outcome.says(f"{NVFP4}: not recorded, because velocity is red; mend it or its limit first")
    assert path.read_bytes() == before

    outcome = gate(*cases(NVFP4), *gates("manifest", "velocity"), *rebaseline, baselines=own_baselines)
    assert outcome.says(f"{NVFP4}: recorded manifest; not velocity, because velocity is red")
    after = read(path, NVFP4)
    assert after.sections()["velocity"] == read(path_of(gate.baselines, "cpu", NVFP4), NVFP4).sections()["velocity"]
    assert (after.provenance("manifest").reason, after.provenance("velocity").reason) == (
        "why not",
        "what the tests compare with",
    )


def test_white_pictures_are_not_recorded_as_the_reference(gate: Gate, tmp_path: Path, patch: Patch) -> None:
    pictures_are_white(patch)
    outcome = gate(
        *cases(BF16), *gates("reference"), "--rebaseline", "--reason", "looks fine", baselines=tmp_path / "new"
    )
    assert outcome.code == ExitCode.FAIL
    assert outcome.says(f"{BF16}: not recorded, because reference is red")
    assert not (tmp_path / "new").exists()


# ---- what cannot be used -------------------------------------------------------------------------------------------


def test_a_missing_baseline_fails_and_names_its_command(gate: Gate, tmp_path: Path) -> None:
    red(gate(*QUICK, baselines=tmp_path / "none"), says="nvfp4-tiny-bs1-eager.json is missing; record it")


def test_a_truncated_baseline_fails(gate: Gate, own_baselines: Path) -> None:
    path = path_of(own_baselines, "cpu", NVFP4)
    path.write_bytes(path.read_bytes()[:400])
    red(gate(*QUICK, baselines=own_baselines), says="is no usable baseline: ")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda fields: fields.update(recipe="0" * 64), "was recorded for another recipe (000000000000, the catalog"),
        (lambda fields: fields["velocity"]["per_step_db"].__setitem__(1, 0.0), "per_step_db holds 0, a placeholder"),
        (lambda fields: fields["memory"].update(saved_bytes=0), "memory.saved_bytes: input should be greater than 0"),
        (lambda fields: fields.update(reason=" "), "reason: string should match pattern"),
        (lambda fields: fields.update(velocity=None), "velocity is null; absent is absent"),
        (lambda fields: fields.update(speedup=1.5), "speedup: extra inputs are not permitted"),
        (lambda fields: fields.update(case="flux1-dev/mxfp8-tiny-bs1-eager"), "it was recorded for the case"),
    ],
    ids=["stale", "zero", "zero-bytes", "no-reason", "null", "by-hand", "other-case"],
)
def test_a_baseline_that_proves_nothing_fails(
    gate: Gate, own_baselines: Path, change: Callable[[Fields], object], says: str
) -> None:
    rewritten(own_baselines, change)
    red(gate(*QUICK, baselines=own_baselines), says=says)


def test_a_velocity_weakened_by_hand_fails_and_names_file_and_command(gate: Gate, own_baselines: Path) -> None:
    path = path_of(own_baselines, "cpu", NVFP4)
    fields = json.loads(path.read_text())
    fields["velocity"]["per_step_db"] = [12.0 for _ in fields["velocity"]["per_step_db"]]
    path.write_text(json.dumps(fields, indent=1))
    outcome = gate(*cases(NVFP4), *gates("velocity"), baselines=own_baselines)
    assert outcome.code == ExitCode.FAIL
    record = outcome.record("velocity")
    assert {check.cause for check in record.checks if check.verdict == "fail"} == {Cause.EDITED_BASELINE}
    assert f"{path} was changed by hand: its numbers do not fit its checksum" in record.message
    assert typed(record.next) in " ".join(outcome.text.replace("\\\n", " ").split()), "however it was broken into lines"
    assert typed(record.next).startswith(RECORD.partition(" --reason")[0])


def test_a_section_that_was_never_recorded_fails(gate: Gate, own_baselines: Path) -> None:
    rewritten(own_baselines, lambda fields: fields.pop("manifest"))
    red(gate(*QUICK, baselines=own_baselines), says="the baseline has no manifest section; record it")


def test_a_reference_picture_that_was_touched_fails(gate: Gate, own_baselines: Path) -> None:
    picture = path_of(own_baselines, "cpu", BF16).with_name("bf16-tiny-bs1-eager-0.png")
    picture.write_bytes(picture.read_bytes()[:-1])
    outcome = gate(*cases(BF16), *gates("reference"), baselines=own_baselines)
    assert outcome.code == ExitCode.FAIL
    message = outcome.record("reference").message
    assert "its picture bf16-tiny-bs1-eager-0.png is not the one that was recorded" in message


def test_a_changed_catalog_makes_its_baselines_stale(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.suite.small_gate.STEPS", 3)
    red(gate(*QUICK), says="was recorded for another recipe")


# ---- what another device recorded ----------------------------------------------------------------------------------


def test_on_another_cpu_model_only_what_travels_is_compared(gate: Gate, own_baselines: Path) -> None:
    for case in (NVFP4, BF16):
        rewritten(own_baselines, lambda fields: fields["device"].update(key="another-cpu"), case)
    selection = (*cases(BF16, NVFP4), *gates("manifest", "velocity", "quality", "reference", "digest", "calls"))
    outcome = gate(*selection, baselines=own_baselines)
    assert outcome.code == ExitCode.GREEN, outcome.text
    assert set(outcome.verdicts(NVFP4).items()) == {
        *((name, "pass") for name in ("manifest", "velocity", "quality", "calls")),
        ("digest", "skip"),
    }
    message = outcome.record("digest", BF16).message
    assert "digest depends on the CPU model: recorded on another-cpu, this is " in message
    assert outcome.says("2 skipped: digest of")

    strict = gate(*selection, "--no-skips", baselines=own_baselines)
    assert strict.code == ExitCode.FAIL
    assert strict.record("digest", NVFP4).message.startswith("digest: skipped, which this lane forbids: digest depends")
    assert strict.record("velocity", NVFP4).verdict == "pass"


def test_a_case_of_which_nothing_was_proven_is_not_green(gate: Gate, own_baselines: Path) -> None:
    rewritten(own_baselines, lambda fields: fields["device"].update(key="another-cpu"))
    outcome = gate(*cases(NVFP4), *gates("digest"), baselines=own_baselines)
    assert outcome.code == ExitCode.ONLY_SKIPS
    assert outcome.says("a case has no gate that passed, so nothing is proven of it")


# ---- another metric ------------------------------------------------------------------------------------------------


def test_distances_of_another_metric_are_never_compared(gate: Gate, own_baselines: Path) -> None:
    def by_other_metric(fields: Fields) -> None:
        section = fields["quality"].pop(METRIC)
        fields["quality"]["lpips-alex"] = {**section, "metric": "lpips-alex", "per_prompt": [0.5, 0.5]}

    rewritten(own_baselines, by_other_metric)
    selection = (*cases(NVFP4), *gates("quality"))
    outcome = gate(*selection, baselines=own_baselines)
    assert outcome.code == ExitCode.FAIL
    message = outcome.record("quality").message
    assert f"the baseline has no quality:{METRIC} section; record it" in message

    again = gate(*selection, "--rebaseline", "--reason", "both metrics", baselines=own_baselines)
    assert again.code == ExitCode.GREEN, again.text
    recorded = read(path_of(own_baselines, "cpu", NVFP4), NVFP4).sections()
    assert {"quality:lpips-alex", f"quality:{METRIC}"} <= set(recorded)
    assert gate(*selection, baselines=own_baselines).code == ExitCode.GREEN
