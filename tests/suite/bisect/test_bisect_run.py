"""A whole bisect with real wheels, real installations and a small stand-in for the suite; and one that is killed.

The stand-in lies in a folder of tests/gate's name and leaves records as the suite does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from fixtures.bisect import __main__ as bisect
from fixtures.bisect import bench, probe
from fixtures.bisect.bench import Bench
from fixtures.bisect.log import LOG, Log, LogProblem
from fixtures.bisect.probe import run_suite
from fixtures.bisect.runner import Runner
from fixtures.bisect.schema import Answer
from fixtures.build.install import InstallFailed, run_step
from fixtures.build.requirements import Override, Step
from tests.suite.baseline_samples import baseline, saved
from tests.suite.bisect_stand_in import CASE, asked, stand_in_for_the_suite, wheels
from tests.suite.tiny_wheels import make_wheel


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but pip: making it takes a second."""
    folder = tmp_path_factory.mktemp("base") / "environment"
    subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", str(folder)], check=True)
    return folder


@pytest.fixture
def stand_in(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The suite's stand-in, run as `python -m pytest` because the working folder has a pytest.py."""
    return stand_in_for_the_suite(tmp_path / "suite", base, monkeypatch.setattr)


def run(tmp_path: Path, index: Path, *arguments: str, gate: str = "velocity") -> tuple[int, Answer]:
    code = bisect.main([
        "--case", CASE, "--gate", gate, "--index", str(index), "--cache", str(tmp_path / "cache"),
        "--out", str(tmp_path / "out"), *arguments,
    ])  # fmt: skip
    answer = tmp_path / "out" / "bisect.json"
    return code, Answer.model_validate_json(answer.read_text())


def test_culprit_is_found_past_gaps_a_hang_a_truncated_wheel_and_a_death(
    tmp_path: Path, stand_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = {"0.1": "good", "0.2": "good", "0.3": "die", "0.4": "hang", "0.5": "error", "0.6": "good", "0.7": "bad"}
    index = wheels(tmp_path / "index", {**kinds, "0.8": "bad", "0.9": "bad"})
    damaged = index / "torchao-0.8-py3-none-any.whl"
    damaged.write_bytes(damaged.read_bytes()[:100])
    code, answer = run(tmp_path, index, "--good", "torchao=0.1", "--time-limit", "8")
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
    tmp_path: Path, stand_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = {"0.1": "good", "0.2": "good", "0.3": "bad", "0.4": "good", "0.5": "good", "0.6": "bad", "0.7": "bad"}
    index = wheels(tmp_path / "index", kinds)
    code, answer = run(tmp_path, index, "--good", "torchao=0.1", "--survey", "9")
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


def test_gaps_all_around_make_a_range_and_say_why(tmp_path: Path, stand_in: Path) -> None:
    kinds = {"0.1": "good", "0.2": "die", "0.3": "hang", "0.4": "good", "0.5": "bad"}
    index = wheels(tmp_path / "index", kinds)
    damaged = index / "torchao-0.4-py3-none-any.whl"
    damaged.write_bytes(damaged.read_bytes()[:100])
    code, answer = run(tmp_path, index, "--good", "torchao=0.1", "--bad", "torchao=0.5", "--time-limit", "8")
    assert code == 0
    assert answer.culprits[0].steps[0].not_judged == ["0.2", "0.3", "0.4"]
    messages = {one.versions["torchao"]: one.message for one in answer.evidence}
    assert "something in C++" in messages["0.2"]
    assert "did not end within 8 s" in messages["0.3"]
    assert "is damaged" in messages["0.4"]


def test_killed_bisect_goes_on_and_measures_nothing_twice(
    tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = wheels(tmp_path / "index", {f"0.{n}": "good" if n < 6 else "bad" for n in range(1, 10)})
    real, calls = Runner._measure, list[int]()

    def killed(runner: Runner, versions: Mapping[str, str]) -> object:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(runner, versions)

    with monkeypatch.context() as patch:
        patch.setattr(Runner, "_measure", killed)
        arguments = ["--case", CASE, "--gate", "velocity", "--good", "torchao=0.1", "--index", str(index)]
        kept = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
        assert bisect.main([*arguments, *kept]) == 2
    before = asked(stand_in)
    assert len(before) == 3
    log = tmp_path / "out" / LOG
    with log.open("a") as stream:
        stream.write('{"versions": {"torchao": "0.')  # the line that the kill cut off
    for wheel in index.iterdir():
        wheel.unlink()  # what was probed is in the cache; what was not is a gap now
    wheels(index, {f"0.{n}": "good" if n < 6 else "bad" for n in range(1, 10)})
    assert bisect.main(["--resume", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]) == 0
    answer = Answer.model_validate_json((tmp_path / "out" / "bisect.json").read_text())
    assert answer.culprits[0].steps[0].first_bad.version == "0.6"
    assert len(asked(stand_in)) == len(answer.evidence) == len(log.read_text().splitlines()) - 1
    once = asked(stand_in)
    assert bisect.main(["--resume", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]) == 0
    assert asked(stand_in) == once


def test_good_end_is_found_by_walking_back_and_its_probes_are_not_repeated(tmp_path: Path, stand_in: Path) -> None:
    index = wheels(tmp_path / "index", {f"0.{n}": "good" if n < 3 else "bad" for n in range(1, 11)})
    code, answer = run(tmp_path, index, "--bad", "torchao=0.10", "--survey", "0")
    assert code == 0
    assert answer.culprits[0].steps[0].first_bad.version == "0.3"
    assert asked(stand_in)[:5] == ["0.10", "0.9", "0.8", "0.6", "0.2"]
    assert asked(stand_in).count("0.10") == 1


def test_digest_and_import_have_their_own_good_and_bad(tmp_path: Path, stand_in: Path) -> None:
    index = wheels(tmp_path / "index", {"0.1": "good", "0.2": "good", "0.3": "bad", "0.4": "bad"})
    _, answer = run(tmp_path, index, "--good", "torchao=0.1", gate="digest")
    assert answer.culprits[0].steps[0].first_bad.version == "0.3"
    (tmp_path / "out").rename(tmp_path / "first")
    index = wheels(tmp_path / "index", {"0.1": "good", "0.2": "bad", "0.3": "error", "0.4": "error"})
    _, answer = run(tmp_path, index, "--good", "torchao=0.1", gate="import")
    assert answer.culprits[0].steps[0].first_bad.version == "0.3"


def test_baseline_of_the_good_end_is_recorded_once_and_judges_every_probe(tmp_path: Path, stand_in: Path) -> None:
    index = wheels(tmp_path / "index", {"0.1": "good", "0.2": "good", "0.3": "bad"})
    code, answer = run(tmp_path, index, "--good", "torchao=0.1", "--against", "good")
    assert (code, answer.culprits[0].steps[0].first_bad.version) == (0, "0.3")
    assert [path.name for path in (tmp_path / "out" / "baselines").iterdir()] == ["0.1"]
    assert len(asked(stand_in)) == len(answer.evidence) + 1


def test_without_ends_the_baselines_stack_was_good_and_the_installed_one_is_bad(
    tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = wheels(tmp_path / "index", {f"0.{n}": "good" if n < 4 else "bad" for n in range(1, 8)})
    saved(tmp_path / "baselines", baseline(stack={"torch": "2.14.1+cu130", "torchao": "0.2"}))
    here = SimpleNamespace(as_dict=lambda: {"torch": "2.14.1+cpu", "torchao": "0.6", "python": "3.11.7"}, cuda=None)
    monkeypatch.setattr("fixtures.bisect.__main__.installed", lambda: here)
    code, answer = run(tmp_path, index, "--baselines", str(tmp_path / "baselines"), "--machine", "cpu")
    assert code == 0
    assert answer.axes == {"torchao": ["0.2", "0.3", "0.4", "0.5", "0.6"]}
    assert answer.culprits[0].steps[0].first_bad.version == "0.4"
    assert f"--baselines {tmp_path / 'baselines'} --machine cpu" in answer.culprits[0].reproduce_bad


def test_newer_good_end_finds_what_mended_it(tmp_path: Path, stand_in: Path) -> None:
    index = wheels(tmp_path / "index", {"0.1": "bad", "0.2": "bad", "0.3": "good", "0.4": "good"})
    _, answer = run(tmp_path, index, "--good", "torchao=0.4", "--bad", "torchao=0.1")
    (step,) = answer.culprits[0].steps
    assert (step.last_good.version, step.first_bad.version) == ("0.3", "0.2")
    assert step.compare.endswith("v0.2...v0.3")


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ({"0.1": "good", "0.2": "good"}, "the bad end is not bad at torchao 0.2"),
        ({"0.1": "bad", "0.2": "bad"}, "the good end is not good at torchao 0.1"),
        ({"0.1": "good", "0.2": "hang"}, "the bad end is not bad at torchao 0.2 (hung: did not end within 8 s"),
    ],
)
def test_ends_that_are_not_reproduced_end_it_with_code_1(
    tmp_path: Path, stand_in: Path, kinds: dict[str, str], words: str
) -> None:
    code, answer = run(tmp_path, wheels(tmp_path / "index", kinds), "--good", "torchao=0.1", "--time-limit", "8")
    assert code == 1
    assert words in answer.sentence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gate", "velocity", "--good", "torchao=0.1"], "--case and --gate say what turned red"),
        (["--case", "nowhere", "--gate", "velocity"], "unknown case 'nowhere'"),
        (["--case", CASE, "--gate", "colour", "--bad", "torchao=1"], "unknown gate 'colour'"),
        (["--case", CASE, "--gate", "reference", "--bad", "torchao=1"], "says nothing about"),
        (["--case", CASE, "--gate", "digest", "--margin", "1", "--bad", "torchao=1"], "--margin is a number"),
        (["--case", CASE, "--gate", "velocity", "--good", "numpy=1"], "unknown package 'numpy'"),
        (["--case", CASE, "--gate", "velocity", "--good", "torchao"], "is no PACKAGE=VERSION"),
        (["--case", CASE, "--gate", "velocity", "--good", "torchao=9.9"], "torchao=9.9: not offered here"),
        (
            ["--case", CASE, "--gate", "velocity", "--good", "torchao=0.1", "--bad", "torch=2"],
            "torch has a bad version and no good one",
        ),
        (["--resume", "nowhere"], "there is no nowhere/bisect.jsonl"),
    ],
)
def test_bad_questions_end_in_one_sentence(
    tmp_path: Path, stand_in: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    index = wheels(tmp_path / "index", {"0.1": "good"})
    assert bisect.main([*arguments, "--index", str(index), "--cache", str(tmp_path / "cache")]) in (4, 7)
    said = capsys.readouterr().err.strip().splitlines()
    assert words in said[-1]


def test_two_bisects_do_not_share_a_folder(tmp_path: Path, stand_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = wheels(tmp_path / "index", {"0.1": "good", "0.2": "bad"})
    with bisect.only_one(tmp_path / "out"):
        for again in (
            ["--resume", str(tmp_path / "out")],
            ["--case", CASE, "--gate", "velocity", "--good", "torchao=0.1"],
        ):
            kept = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out"), "--index", str(index)]
            assert bisect.main([*again, *kept]) == 7
            assert "another bisect is at work" in capsys.readouterr().err.splitlines()[-1]
    assert run(tmp_path, index, "--good", "torchao=0.1")[0] == 0


def test_log_that_is_there_already_is_not_overwritten(tmp_path: Path) -> None:
    Log.begin(tmp_path / LOG, {"case": "c"})
    with pytest.raises(LogProblem, match="--resume"):
        Log.begin(tmp_path / LOG, {"case": "c"})
    (tmp_path / LOG).write_text("{}\n")
    with pytest.raises(LogProblem, match="is damaged"):
        Log.resume(tmp_path / LOG)


def test_environment_differs_only_in_what_moved(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = wheels(tmp_path / "wheels", {"0.1": "good", "0.2": "bad"})
    make_wheel(folder, "mslk", "1.0")
    make_wheel(folder, "mslk", "1.1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    steps: list[tuple[str, ...]] = []

    def counted(step: Step, *, python: Path, log: Path, extra: Sequence[str] = ()) -> None:
        steps.append(step.replaced)
        run_step(step, python=python, log=log)

    monkeypatch.setattr(bench, "run_step", counted)
    table = Bench(base=base, folder=tmp_path / "bench")

    def wanted(**versions: str) -> dict[str, Override]:
        paths = {name: folder / f"{name}-{version}-py3-none-any.whl" for name, version in versions.items()}
        return {
            name: Override(package=name, given=versions[name], requirement=f"{name} @ {path.as_uri()}")
            for name, path in paths.items()
        }

    first = table.install(wanted(torchao="0.1", mslk="1.0"))
    assert (first.versions["torchao"], first.versions["mslk"], first.also_moved) == ("0.1", "1.0", {})
    assert table.install(wanted(torchao="0.2", mslk="1.0")).versions["torchao"] == "0.2"
    table.install(wanted(torchao="0.2", mslk="1.0"))
    assert steps == [("torchao", "mslk"), ("torchao",)]
    (folder / "mslk-1.1-py3-none-any.whl").write_bytes(b"not a wheel")
    with pytest.raises(InstallFailed):
        table.install(wanted(torchao="0.2", mslk="1.1"))
    assert table.install(wanted(torchao="0.1", mslk="1.0")).versions["torchao"] == "0.1"


def test_time_limit_ends_the_run_and_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pytest.py").write_text(
        "import subprocess, sys, time, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "pathlib.Path('child').write_text(str(child.pid))\ntime.sleep(60)\n"
    )
    monkeypatch.setattr(probe, "ROOT", tmp_path)
    done = run_suite(Path(sys.executable), [], out=tmp_path / "out", limit_s=2)
    assert done.hung
    assert not done.records
    child = Path(f"/proc/{(tmp_path / 'child').read_text()}")
    assert not child.exists() or "Z" in (child / "stat").read_text()


def test_probe_never_sees_the_packages_of_the_tool(tmp_path: Path, stand_in: Path) -> None:
    """The stand-in imports torchao from the probe's environment; here it would not be a module with a kind."""
    index = wheels(tmp_path / "index", {"0.1": "good", "0.2": "bad"})
    code, answer = run(tmp_path, index, "--good", "torchao=0.1")
    assert (code, asked(stand_in)[:2]) == (0, ["0.1", "0.2"])
    assert {one.verdict for one in answer.evidence} == {"pass", "fail"}
    assert json.loads((tmp_path / "out" / LOG).read_text().splitlines()[1])["seen"]["wheels"]["torchao"]
