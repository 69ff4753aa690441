"""A whole bisect with real wheels, real installations and a small stand-in for the suite; and one that is killed.

The stand-in lies in a folder of tests/gate's name and leaves records as the suite does.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest

from fixtures.bisect import __main__ as bisect
from fixtures.bisect.answer import Answer
from fixtures.bisect.log import LOG
from fixtures.bisect.probe import ProbeTools
from fixtures.results.seal import sealed
from fixtures.stack.installed import InstalledPackage, Stack
from tests.suite.bisect_stand_in import CASE, asked, run, wheels

BASELINE = {
    "schema": 1,
    "case": CASE,
    "reason": "first recording",
    "recorded_at": "2026-11-22T16:40:00+00:00",
    "recipe": "ab" * 32,
    "device": {"key": "cpu:x", "name": "x"},
    "stack": {"torch": "2.14.1+cu130", "torchao": "0.2"},
    "velocity": {"per_step_db": [15.5]},
}
NOW = {"torch": "2.14.1+cpu", "torchao": "0.6"}


def test_culprit_is_found_past_gaps_a_hang_a_truncated_wheel_and_a_death(
    tmp_path: Path, stand_in: ProbeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = {"0.1": "good", "0.2": "good", "0.3": "die", "0.4": "hang", "0.5": "error", "0.6": "good", "0.7": "bad"}
    index = wheels(tmp_path / "index", {**kinds, "0.8": "bad", "0.9": "bad"})
    damaged = index / "torchao-0.8-py3-none-any.whl"
    damaged.write_bytes(damaged.read_bytes()[:100])
    code, answer = run(tmp_path, index, stand_in, "--good", "torchao=0.1", "--time-limit", "8")
    assert code == 0
    (step,) = answer.culprits[0].steps
    assert (step.last_good.version, step.first_bad.version) == ("0.6", "0.7")
    outcomes = {one.versions["torchao"]: str(one.outcome) for one in answer.evidence}
    assert outcomes["0.5"] == "not built"
    said = capsys.readouterr().out
    assert "torchao: last good 0.6, first bad 0.7" in said
    assert "compare  https://github.com/pytorch/ao/compare/v0.6...v0.7" in said
    assert f"nox -s gate -- --torchao 0.7 --case {CASE} --gate velocity" in said
    assert "sqnr 9.5 dB" in said
    for name in ("bisect.md", "bisect.html"):
        assert "first bad 0.7" in (tmp_path / "out" / name).read_text()


def test_release_that_broke_and_was_mended_before_the_culprit_is_told(
    tmp_path: Path, stand_in: ProbeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = {"0.1": "good", "0.2": "good", "0.3": "bad", "0.4": "good", "0.5": "good", "0.6": "bad", "0.7": "bad"}
    index = wheels(tmp_path / "index", kinds)
    code, answer = run(tmp_path, index, stand_in, "--good", "torchao=0.1", "--survey", "9")
    assert code == 0
    (step,) = answer.culprits[0].steps
    assert (step.last_good.version, step.first_bad.version) == ("0.5", "0.6")
    assert answer.turns == [
        "torchao 0.2 -> 0.3 became bad",
        "torchao 0.3 -> 0.4 became good",
        "torchao 0.5 -> 0.6 became bad",
    ]
    assert any("the verdict changed more than once" in warning for warning in answer.warnings)
    assert "turn: torchao 0.3 -> 0.4 became good" in capsys.readouterr().out


def test_gaps_all_around_make_a_range_and_say_why(tmp_path: Path, stand_in: ProbeTools) -> None:
    kinds = {"0.1": "good", "0.2": "die", "0.3": "hang", "0.4": "good", "0.5": "bad"}
    index = wheels(tmp_path / "index", kinds)
    damaged = index / "torchao-0.4-py3-none-any.whl"
    damaged.write_bytes(damaged.read_bytes()[:100])
    code, answer = run(tmp_path, index, stand_in, "--good", "torchao=0.1", "--bad", "torchao=0.5", "--time-limit", "8")
    assert code == 0
    assert answer.culprits[0].steps[0].not_judged == ["0.2", "0.3", "0.4"]
    messages = {one.versions["torchao"]: one.message for one in answer.evidence}
    assert "something in C++" in messages["0.2"]
    assert "did not end within 8 s" in messages["0.3"]
    assert "is damaged" in messages["0.4"]


def test_killed_bisect_goes_on_and_measures_nothing_twice(tmp_path: Path, stand_in: ProbeTools) -> None:
    index = wheels(tmp_path / "index", {f"0.{n}": "good" if n < 6 else "bad" for n in range(1, 10)})
    calls = itertools.count(1)

    def killed(*arguments: Any, **keywords: Any) -> None:
        if next(calls) == 4:
            raise KeyboardInterrupt
        stand_in.install(*arguments, **keywords)

    arguments = ["--case", CASE, "--gate", "velocity", "--good", "torchao=0.1", "--index", str(index)]
    kept = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    assert bisect.main([*arguments, *kept], tools=dataclasses.replace(stand_in, install=killed)) == 2
    before = asked(stand_in)
    assert len(before) == 3
    log = tmp_path / "out" / LOG
    with log.open("a") as stream:
        stream.write('{"versions": {"torchao": "0.')  # the line that the kill cut off
    for wheel in index.iterdir():
        wheel.unlink()  # what was probed is in the cache; what was not is a gap now
    wheels(index, {f"0.{n}": "good" if n < 6 else "bad" for n in range(1, 10)})
    assert bisect.main(["--resume", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")], tools=stand_in) == 0
    answer = Answer.model_validate_json((tmp_path / "out" / "bisect.json").read_text())
    assert answer.culprits[0].steps[0].first_bad.version == "0.6"
    assert len(asked(stand_in)) == len(answer.evidence) == len(log.read_text().splitlines()) - 1
    once = asked(stand_in)
    assert bisect.main(["--resume", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")], tools=stand_in) == 0
    assert asked(stand_in) == once


def test_good_end_is_found_by_walking_back_and_its_probes_are_not_repeated(
    tmp_path: Path, stand_in: ProbeTools
) -> None:
    index = wheels(tmp_path / "index", {f"0.{n}": "good" if n < 3 else "bad" for n in range(1, 11)})
    code, answer = run(tmp_path, index, stand_in, "--bad", "torchao=0.10", "--survey", "0")
    assert code == 0
    assert answer.culprits[0].steps[0].first_bad.version == "0.3"
    assert asked(stand_in)[:5] == ["0.10", "0.9", "0.8", "0.6", "0.2"]
    assert asked(stand_in).count("0.10") == 1


def test_digest_and_import_have_their_own_good_and_bad(tmp_path: Path, stand_in: ProbeTools) -> None:
    index = wheels(tmp_path / "index", {"0.1": "good", "0.2": "good", "0.3": "bad", "0.4": "bad"})
    _, answer = run(tmp_path, index, stand_in, "--good", "torchao=0.1", gate="digest")
    assert answer.culprits[0].steps[0].first_bad.version == "0.3"
    (tmp_path / "out").rename(tmp_path / "first")
    index = wheels(tmp_path / "index", {"0.1": "good", "0.2": "bad", "0.3": "error", "0.4": "error"})
    _, answer = run(tmp_path, index, stand_in, "--good", "torchao=0.1", gate="import")
    assert answer.culprits[0].steps[0].first_bad.version == "0.3"


def test_baseline_of_the_good_end_is_recorded_once_and_judges_every_probe(tmp_path: Path, stand_in: ProbeTools) -> None:
    index = wheels(tmp_path / "index", {"0.1": "good", "0.2": "good", "0.3": "bad"})
    code, answer = run(tmp_path, index, stand_in, "--good", "torchao=0.1", "--against", "good")
    assert (code, answer.culprits[0].steps[0].first_bad.version) == (0, "0.3")
    assert [path.name for path in (tmp_path / "out" / "baselines" / CASE).iterdir()] == ["0.1"]
    assert len(asked(stand_in)) == len(answer.evidence) + 1


def test_without_ends_the_baselines_stack_was_good_and_the_installed_one_is_bad(
    tmp_path: Path, stand_in: ProbeTools
) -> None:
    index = wheels(tmp_path / "index", {f"0.{n}": "good" if n < 4 else "bad" for n in range(1, 8)})
    stored = tmp_path / "baselines" / "cpu" / f"{CASE}.json"
    stored.parent.mkdir(parents=True)
    stored.write_text(sealed(BASELINE))
    here = Stack(
        packages=tuple(InstalledPackage(name=name, version=version) for name, version in NOW.items()),
        python="3.11.7",
        cuda=None,
    )
    own = ["--baselines", str(tmp_path / "baselines"), "--machine", "cpu"]
    code, answer = run(tmp_path, index, stand_in, *own, stack=here)
    assert code == 0
    assert answer.axes == {"torchao": ["0.2", "0.3", "0.4", "0.5", "0.6"]}
    assert answer.culprits[0].steps[0].first_bad.version == "0.4"
    assert f"--baselines {tmp_path / 'baselines'} --machine cpu" in answer.culprits[0].reproduce_bad


def test_good_end_that_breaks_off_names_the_ends_that_would_answer(tmp_path: Path, stand_in: ProbeTools) -> None:
    index = wheels(tmp_path / "index", {"0.1": "error", "0.2": "error", "0.3": "good", "0.4": "good"})
    _, stopped = run(tmp_path, index, stand_in, "--good", "torchao=0.1", "--bad", "torchao=0.4", gate="import")
    assert "try nox -s bisect -- --case" in stopped.sentence
    assert "--good torchao=0.4 --bad torchao=0.1 " in stopped.sentence, stopped.sentence
    (tmp_path / "out").rename(tmp_path / "first")
    _, answer = run(tmp_path, index, stand_in, "--good", "torchao=0.4", "--bad", "torchao=0.1", gate="import")
    assert "torchao: mended by 0.3, last bad 0.2" in answer.sentence


def test_newer_good_end_finds_what_mended_it(tmp_path: Path, stand_in: ProbeTools) -> None:
    index = wheels(tmp_path / "index", {"0.1": "bad", "0.2": "bad", "0.3": "good", "0.4": "good"})
    _, answer = run(tmp_path, index, stand_in, "--good", "torchao=0.4", "--bad", "torchao=0.1")
    assert "torchao: mended by 0.3, last bad 0.2" in answer.sentence
    (step,) = answer.culprits[0].steps
    assert (step.last_good.version, step.first_bad.version) == ("0.3", "0.2")
    assert step.compare.endswith("v0.2...v0.3")
