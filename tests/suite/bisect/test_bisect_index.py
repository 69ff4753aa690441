"""Whole bisects over an index with an index's bad habits: hidden versions, a truncated wheel, silence, nightlies that
leave; and kills in the middle that nothing is measured twice for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fixtures.bisect import __main__ as bisect
from fixtures.bisect.answer import Answer
from fixtures.bisect.log import LOG
from fixtures.bisect.probe import ProbeTools
from fixtures.stack.finder import WheelFinder, here
from fixtures.stack.wheels import PARTIAL, WheelCache
from tests.suite.bisect_stand_in import CASE, asked, wheels
from tests.suite.index_stand_in import Index, serving
from tests.suite.tiny_wheels import make_wheel

ROOT = Path(__file__).parents[3]


def arguments(tmp_path: Path, address: str, *more: str) -> list[str]:
    kept = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    return ["--case", CASE, "--gate", "velocity", "--index", address, *kept, *more]


def answered(tmp_path: Path) -> Answer:
    return Answer.model_validate_json((tmp_path / "out" / "bisect.json").read_text())


def step(tmp_path: Path) -> tuple[str, str]:
    (one,) = answered(tmp_path).culprits[0].steps
    return one.last_good.version, one.first_bad.version


def wheel_of(version: str) -> str:
    return f"torchao-{version}-py3-none-any.whl"


@pytest.mark.parametrize("speaks_json", [True, False])
def test_culprit_is_found_though_the_index_hides_cuts_off_and_falls_silent(
    tmp_path: Path, stand_in: ProbeTools, monkeypatch: pytest.MonkeyPatch, speaks_json: bool
) -> None:
    monkeypatch.setattr("fixtures.stack.index.ANSWER_S", 0.5)
    defaults = WheelCache.__init__.__kwdefaults__ or {}
    monkeypatch.setattr(WheelCache.__init__, "__kwdefaults__", defaults | {"silence_s": 0.5})
    folder = wheels(tmp_path / "offers", {f"0.{n}": "good" if n < 7 else "bad" for n in range(1, 12)})
    index = Index(folder=folder, speaks_json=speaks_json, hidden={"0.4", "0.8"}, yanked={wheel_of("0.5"): "leaks"})
    index.silent["torchao/"] = 1
    index.cut[wheel_of("0.6")] = 1
    index.silent[wheel_of("0.7")] = 1
    index.wrong[wheel_of("0.9")] = 9
    with serving(index) as address:
        assert bisect.main(arguments(tmp_path, address, "--good", "torchao=0.1", "--survey", "9"), tools=stand_in) == 0
    assert step(tmp_path) == ("0.6", "0.7")
    answer = answered(tmp_path)
    assert answer.left_out == [f"{wheel_of('0.5')}: yanked: leaks"]
    assert answer.axes["torchao"] == ["0.1", "0.2", "0.3", "0.6", "0.7", "0.9", "0.10", "0.11"]
    (gap,) = [one for one in answer.evidence if one.meaning == "gap"]
    assert gap.versions == {"torchao": "0.9"}
    assert "the index promised" in gap.message
    assert any(name == wheel_of("0.6") and asked_for for name, asked_for in index.requests)


def killed(command: list[str], when: Callable[[], bool]) -> None:
    """Start `command` and end it by SIGKILL as soon as `when` says so."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + 100
        while not when():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < end, "the moment never came"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_bisect_killed_in_a_probe_and_in_a_download_goes_on_and_measures_nothing_twice(
    tmp_path: Path, stand_in: ProbeTools, base: Path
) -> None:
    kinds = {f"0.{n}": "good" if n < 6 else "bad" for n in range(1, 10)}
    index = Index(folder=wheels(tmp_path / "offers", {**kinds, "0.5": "slow"}))
    index.stuck[wheel_of("0.6")] = 1
    log, partial = tmp_path / "out" / LOG, tmp_path / "cache" / PARTIAL
    program = [sys.executable, "-m", "tests.suite.bisect_stand_in", str(stand_in.suite), str(base)]
    resume = ["--resume", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    with serving(index) as address:
        killed(
            [*program, *arguments(tmp_path, address, "--good", "torchao=0.1", "--survey", "0")],
            lambda: (stand_in.suite / "asked").exists() and asked(stand_in)[-1:] == ["0.5"],
        )
        before = log.read_bytes()
        assert [json.loads(line)["versions"]["torchao"] for line in before.splitlines()[1:]] == ["0.1", "0.9"]
        killed([*program, *resume], lambda: any(path.stat().st_size for path in partial.glob(f"*{wheel_of('0.6')}")))
        assert log.read_bytes().startswith(before)
        assert bisect.main(resume, tools=stand_in) == 0
    assert step(tmp_path) == ("0.5", "0.6")
    probes = asked(stand_in)
    measured = [one.versions["torchao"] for one in answered(tmp_path).evidence]
    killed_ones = Counter(probes) - Counter(measured)
    assert not Counter(measured) - Counter(probes)
    # Wheels are fetched ahead while another version is measured, which the second kill ends as well.
    assert killed_ones["0.5"] == 1
    assert killed_ones.total() <= 2
    assert [range_ for name, range_ in index.requests if name == wheel_of("0.6")][-1].startswith("bytes=")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_two_signals_end_a_bisect_once_and_in_good_order(tmp_path: Path, stand_in: ProbeTools, base: Path) -> None:
    folder = wheels(tmp_path / "offers", {"0.1": "hang", "0.2": "bad"})
    program = [sys.executable, "-m", "tests.suite.bisect_stand_in", str(stand_in.suite), str(base)]
    command = [*program, *arguments(tmp_path, str(folder), "--good", "torchao=0.1")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 100
        while not (stand_in.suite / "asked").exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        for what in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            process.send_signal(what)
        said = process.communicate()[1]
    assert process.returncode == 2
    assert "interrupted; what was measured is kept" in said
    assert "Traceback" not in said


def nightlies(folder: Path, versions: Mapping[str, str]) -> None:
    """Nightlies of torch and, but for those called `alone`, the torchvision of the same day."""
    for version, kind in versions.items():
        make_wheel(folder, "torch", version, f"version = {version!r}\n")
        if kind != "alone":
            vision = version.replace("2.15.0", "0.30.0")
            make_wheel(folder, "torchvision", vision)
        # The stand-in reads torchao: torch's wheel brings one of its own.
        code = f"version, kind = {version!r}, {kind if kind != 'alone' else 'good'!r}\n"
        path = next(folder.glob(f"torch-{version}-*.whl"))
        add(path, "torchao.py", code)


def add(wheel: Path, name: str, text: str) -> None:
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(name, text)


def day(number: int, build: str = "cu130") -> str:
    return f"2.15.0.dev202610{number:02d}+{build}"


@pytest.mark.parametrize("speaks_json", [True, False])
def test_nightlies_are_found_by_their_days_and_what_cannot_serve_is_left_out_with_its_reason(
    tmp_path: Path, stand_in: ProbeTools, speaks_json: bool
) -> None:
    folder = tmp_path / "offers"
    folder.mkdir()
    days = {2: "good", 3: "alone", 5: "good", 6: "good", 8: "good", 9: "bad", 12: "bad", 13: "bad"}
    nightlies(folder, {day(number): kind for number, kind in days.items()})
    nightlies(folder, {day(5, "cpu"): "good", day(7, "rocm6.4"): "good"})
    (folder / "torch-2.15.0.dev20261010+cu130-cp39-cp39-win_amd64.whl").write_bytes(b"not for us")
    make_wheel(folder, "torch", "2.14.1")
    index = Index(folder=folder, speaks_json=speaks_json)
    index.yanked[f"torch-{day(12)}-py3-none-any.whl"] = "bad build"
    left = f"torch-{day(8)}-py3-none-any.whl"
    cache = WheelCache(tmp_path / "cache")
    with serving(index) as address:
        finder = WheelFinder(sources=[address], cache=cache, here=here())
        for package, version in (("torch", day(8)), ("torchvision", day(8).replace("2.15", "0.30"))):
            cache.fetch(finder.one(package, version))
            next(folder.glob(f"{package}-{version}-*.whl")).unlink()
        ends = ["--good", "torch=2026-10-04", "--bad", "torch=2026-10-13", "--survey", "9"]
        assert bisect.main(arguments(tmp_path, address, *ends), tools=stand_in) == 0
    answer = answered(tmp_path)
    assert step(tmp_path) == (day(8), day(9))
    # The 3rd has no torchvision, so the 4th means the 2nd; the 8th left the index and is in the cache.
    assert answer.axes["torch"] == [day(number) for number in (2, 5, 6, 8, 9, 13)]
    bad = answer.culprits[0].reproduce_bad
    assert bad.startswith(f"PIP_EXTRA_INDEX_URL={address} nox -s gate -- --torch {tmp_path}/cache/")
    assert f"torch-{day(9)}-py3-none-any.whl --torchvision {tmp_path}/cache/" in bad
    assert left not in [path.name for path in folder.iterdir()]
    reasons = {text.partition(": ")[0].split("-")[1]: text.partition(": ")[2] for text in answer.left_out}
    assert "the index has no torchvision of the same day and build" in reasons[day(3)]
    assert "built for rocm6.4" in reasons[day(7, "rocm6.4")]
    assert "built for cp39-cp39-win_amd64, not for this Python and platform" in reasons[day(10)]
    assert reasons[day(12)] == "yanked: bad build"
