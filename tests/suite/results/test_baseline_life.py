"""The life of a baseline: created, loaded, missing, stale, damaged, unused. Each trouble is one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures import ROOT
from fixtures.catalog.schema import Case
from fixtures.results.baseline import (
    BaselineEdited,
    BaselineError,
    BaselineMissing,
    BaselineStale,
    load,
    path_of,
    read,
    stored_files,
)
from fixtures.results.store import unused
from tests.suite.baseline_samples import CASE, OTHER_RECIPE, RECIPE, baseline, quality, saved, saved_with_pictures

BASELINES = ROOT / "baselines"
Break = Callable[[dict[str, Any]], object]


def one_sentence(error: BaseException, *, about: Path | str) -> str:
    """The message, checked: one line, names the file, says what to type."""
    text = str(error)
    assert "\n" not in text
    assert str(about) in text
    assert "record it" in text
    assert "Traceback" not in text
    return text


def test_a_baseline_lies_where_its_case_says(tmp_path: Path) -> None:
    case = Case(model="flux1-dev", format="nvfp4", checkpoint="tiny", batch_size=1, compile_mode="eager")
    assert case.id == CASE
    assert path_of(tmp_path, "cpu", case) == tmp_path / "cpu/flux1-dev/nvfp4-tiny-bs1-eager.json"
    assert path_of(tmp_path, "cpu", CASE) == path_of(tmp_path, "cpu", case)


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert load(path, CASE, RECIPE) == baseline()


def test_absent_sections_are_absent_in_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path, baseline(quality=None, speed=None, digest=None))
    text = path.read_text()
    assert "null" not in text
    assert not {"quality", "speed", "digest", "kept", "reference"} & set(json.loads(text))
    assert set(load(path, CASE, RECIPE).sections()) == {"manifest", "velocity", "memory"}


def test_a_missing_baseline_names_the_command_that_records_it(tmp_path: Path) -> None:
    path = path_of(tmp_path, "cpu", CASE)
    with pytest.raises(BaselineMissing, match="is missing") as caught:
        load(path, CASE, RECIPE)
    one_sentence(caught.value, about=path)


def test_a_stale_baseline_was_recorded_for_another_recipe(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with pytest.raises(BaselineStale, match="recorded for another recipe") as caught:
        load(path, CASE, OTHER_RECIPE)
    one_sentence(caught.value, about=path)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9, 0.999])
def test_a_truncated_baseline_is_refused_wherever_it_was_cut(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole.rstrip()) * share)])
    with pytest.raises(BaselineError, match=r"ends too early|breaks at line") as caught:
        load(path, CASE, RECIPE)
    one_sentence(caught.value, about=path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"<<<<<<< HEAD\n{}", "breaks at line 1"),
        (b"[]", "the record"),
        (b"null", "is null"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b'{"schema": 1, "schema": 1}', "schema stands there twice"),
        (b"{}", "schema is missing"),
        (b"[" * 100_000, "no usable baseline"),
    ],
    ids=["merge conflict", "list", "null", "binary", "key twice", "empty", "deep"],
)
def test_a_hand_broken_file_is_refused(tmp_path: Path, text: bytes, said: str) -> None:
    path = saved(tmp_path)
    path.write_bytes(text)
    with pytest.raises(BaselineError, match=said) as caught:
        load(path, CASE, RECIPE)
    one_sentence(caught.value, about=path)


def put(*keys: str, value: object) -> Break:
    """Set one place of the record."""

    def change(fields: dict[str, Any]) -> None:
        for key in keys[:-1]:
            fields = fields[key]
        fields[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("speed", "ratio", value=float("nan")), "NaN"),
        (put("speed", "ratio", value=float("inf")), "Infinity"),
        (put("velocity", "per_step_db", value=[15.0, float("nan")]), "NaN"),
        (put("speed", "ratio", value=None), r"speed\.ratio is null"),
        (put("quality", "lpips-alex", "per_prompt", value=[0.1, None]), r"per_prompt\.1 is null"),
        (put("speed", "ratio", value=0.0), r"speed\.ratio"),
        (put("speed", "seconds", value=[0.0]), r"speed\.seconds\.0"),
        (put("speed", "reference_seconds", value=[0.2, 0]), r"reference_seconds\.1"),
        (put("speed", "seconds", value=[]), r"speed\.seconds"),
        (put("speed", "interval", value=[0.0, 0.5]), r"interval\.0"),
        (put("speed", "interval", value=[0.5, 0.6]), "outside its interval"),
        (put("speed", value={"seconds": [0.5], "ratio": 2.0}), "belong together"),
        (put("memory", "saved_bytes", value=0), r"memory\.saved_bytes"),
        (put("memory", "peak_bytes", value=-1), r"memory\.peak_bytes"),
        (put("memory", value={}), "neither saved_bytes nor peak_bytes"),
        (put("velocity", "per_step_db", value=[]), "per_step_db"),
        (put("velocity", "per_step_db", value=[0.0, 15.0]), "placeholder"),
        (put("manifest", "linears", value=[]), r"manifest\.linears"),
        (put("manifest", "linears", value=["a", "a"]), "listed twice"),
        (put("manifest", "tensor_class", value=""), "tensor_class"),
        (put("quality", "lpips-alex", "per_prompt", value=[0.0, 0.0]), "every distance is 0"),
        (put("quality", "lpips-alex", "per_prompt", value=[0.1]), "2 prompts and 1 distances"),
        (put("quality", "lpips-alex", "controls", value={"black frame": 0.0}), "black frame"),
        (put("quality", "lpips-alex", "metric", value="st-lpips-alex"), "measured with st-lpips-alex"),
        (put("digest", "sha256", value={}), r"digest\.sha256"),
        (put("digest", "sha256", value={"picture 0": "beef"}), "picture 0"),
        (put("schema", value=2), "schema"),
        (put("schema", value="1"), "schema"),
        (put("speed", "ratio", value="0.41"), r"speed\.ratio"),
        (put("velocitee", value={"per_step_db": [15.0]}), "velocitee"),
        (put("speed", "median", value=0.5), r"speed\.median"),
        (put("recipe", value="unknown"), "recipe"),
        (put("reason", value="  "), "reason"),
        (put("stack", value={}), "stack"),
        (put("recorded_at", value="yesterday"), "recorded_at"),
        (put("recorded_at", value="2026-11-22T16:40:00"), "with a zone"),
        (put("case", value="flux1-dev/mxfp8-tiny-bs1-eager"), "recorded for the case flux1-dev/mxfp8-tiny-bs1-eager"),
        (put("kept", value={"speeed": {"reason": "x"}}), "kept"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_measurement_is_refused(tmp_path: Path, change: Break, said: str) -> None:
    path = saved(tmp_path)
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))
    with pytest.raises(BaselineError, match=said) as caught:
        load(path, CASE, RECIPE)
    one_sentence(caught.value, about=path)


def test_a_number_too_large_for_a_float_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_text(path.read_text().replace("0.41", "1e999"))
    with pytest.raises(BaselineError, match=r"speed\.ratio"):
        load(path, CASE, RECIPE)


def test_a_record_without_any_section_is_refused() -> None:
    with pytest.raises(ValueError, match="no section"):
        baseline(only="none")


def test_a_case_that_is_its_own_reference_needs_no_ratio() -> None:
    assert set(baseline(only="memory", speed={"seconds": [0.2]}).sections()) == {"memory", "speed"}


def test_two_metrics_live_side_by_side(tmp_path: Path) -> None:
    both = {metric: quality(metric) for metric in ("lpips-alex", "st-lpips-alex")}
    record = load(saved(tmp_path, baseline(only="quality", quality=both)), CASE, RECIPE)
    assert list(record.sections()) == ["quality:lpips-alex", "quality:st-lpips-alex"]


@pytest.mark.parametrize("path", sorted(BASELINES.rglob("*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_committed_baselines_come_back_as_they_are(path: Path) -> None:
    written = read(path, f"{path.parent.name}/{path.stem}").to_json()
    assert json.loads(written) == json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("velocity", "per_step_db", value=[15.5, 16.1, 12.0]), "was changed by hand"),
        (put("recorded_at", value="2026-11-23T16:40:00+00:00"), "was changed by hand"),
        (put("recipe", value=OTHER_RECIPE), "was changed by hand"),
        (put("checksum", value="0" * 64), "was changed by hand"),
        (lambda fields: fields.pop("manifest"), "was changed by hand"),
        (lambda fields: fields.pop("checksum"), "has no checksum"),
    ],
    ids=["weakened", "dated", "of this recipe", "another seal", "a section taken out", "no seal"],
)
def test_a_record_that_was_edited_by_hand_is_refused(tmp_path: Path, change: Break, said: str) -> None:
    path = saved(tmp_path)
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))
    with pytest.raises(BaselineEdited, match=said) as caught:
        load(path, CASE, RECIPE)
    one_sentence(caught.value, about=path)


def test_spacing_and_order_are_no_edit(tmp_path: Path) -> None:
    path = saved(tmp_path)
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(fields.items()))))
    assert load(path, CASE, RECIPE) == baseline()


def test_an_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    path = path_of(tmp_path, "cpu", CASE)
    path.mkdir(parents=True)
    with pytest.raises(BaselineError, match="cannot be read") as caught:
        load(path, CASE, RECIPE)
    one_sentence(caught.value, about=path)


def test_stored_pictures_are_checked_against_the_record(tmp_path: Path) -> None:
    path, record = saved_with_pictures(tmp_path)
    files = stored_files(path, record)
    assert [file.name for file in files] == ["nvfp4-tiny-bs1-eager-0.png", "nvfp4-tiny-bs1-eager-1.png"]
    files[1].write_bytes(files[0].read_bytes())
    with pytest.raises(BaselineError, match="is not the one that was recorded") as caught:
        stored_files(path, record)
    one_sentence(caught.value, about=path)
    files[1].unlink()
    with pytest.raises(BaselineError, match=r"eager-1\.png is missing"):
        stored_files(path, record)
    assert stored_files(path, baseline()) == []


@pytest.mark.parametrize("name", ["../secret.png", "/etc/x.png", "a/b.png", ".hidden.png", "picture.jpg"])
def test_a_record_cannot_name_a_file_elsewhere(tmp_path: Path, name: str) -> None:
    path, _ = saved_with_pictures(tmp_path)
    fields = json.loads(path.read_text())
    fields["reference"]["pictures"][0]["file"] = name
    path.write_text(json.dumps(fields))
    with pytest.raises(BaselineError, match=r"reference\.pictures\.0\.file"):
        load(path, CASE, RECIPE)


def test_unused_files_are_found(tmp_path: Path) -> None:
    path, _ = saved_with_pictures(tmp_path)
    gone = path_of(tmp_path, "cpu", "flux1-dev/int4-tiny-bs1-eager")
    gone.write_bytes(path.read_bytes())
    stray = path.with_name("nvfp4-tiny-bs1-eager-7.png")
    stray.write_bytes(b"png")
    left = path.with_name(".nvfp4-tiny-bs1-eager.json.0a1b2c3d.partial")
    left.write_bytes(b"{")
    (tmp_path / "README.md").write_text("about")
    missing = path_of(tmp_path, "cpu", "flux1-dev/mxfp8-tiny-bs1-eager")
    assert unused(tmp_path, {path, missing}) == sorted([gone, stray, left])


def test_the_pictures_of_a_damaged_record_are_not_called_unused(tmp_path: Path) -> None:
    path, _ = saved_with_pictures(tmp_path)
    path.write_text("{")
    assert unused(tmp_path, {path}) == []
