"""Newer releases on an index: found, judged one by one and together, told, and pinned only when they are accepted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.version import Version

from fixtures import ROOT
from fixtures.bisect.probe import ProbeTools
from fixtures.stack.environment import copy_environment, interpreter
from fixtures.stack.requirements import InstallStep, pinned
from fixtures.stack.versions import IndexFile, Release
from fixtures.upgrade import __main__ as upgrade
from fixtures.upgrade.newest import Newer, barred, newer, with_pins
from tests.suite.bisect_stand_in import CASE, asked, stand_in_for_the_suite, unpack, wheels
from tests.suite.index_stand_in import Index, serving
from tests.suite.tiny_wheels import make_wheel

PINNED = (
    '[dependency-groups]\nstack = [\n    "torchao==0.1; python_version > \'3\'",  # why\n    "diffusers==1.0",\n]\n'
)


def releases(*versions: str) -> list[Release]:
    return [Release(version=Version(one), file=IndexFile(filename=f"x-{one}.whl", url="")) for one in versions]


def test_what_is_newer_moves_by_itself_and_is_a_release() -> None:
    offered = {
        "torch": releases("2.14.1", "2.15.0", "2.16.0.dev20261101", "2.16.0rc1"),
        "torchao": releases("0.17.0", "0.18.0"),
        "mslk": releases("1.1.0", "2026.4.21"),
    }
    pins = {"torch": "2.14.1", "torchvision": "0.29.1", "triton": "3.8.0", "torchao": "0.18.0", "mslk": "1.1.0"}
    assert list(map(str, newer(pins, offered.__getitem__))) == ["torch 2.14.1 -> 2.15.0"]


def test_a_constraint_of_pip_that_bars_a_release_is_named() -> None:
    one = Newer(package="mslk", pinned="1.1.0", newest="1.2.0")
    text = "# why\n--no-binary :all:\ntorch<=2.14.1\nmslk_cuda<=1.1.0  # here\n"
    assert barred(one, {"/etc/constraints.txt": text}).startswith("mslk_cuda<=1.1.0 in /etc/constraints.txt, which pip")
    assert barred(one, {"/etc/constraints.txt": "mslk-cuda<2\n"}) == ""


def test_pins_keep_their_markers_and_comments() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    new = with_pins(text, {"torch": "9.9", "mslk": "8.8"})
    lines = [(old, now) for old, now in zip(text.splitlines(), new.splitlines(), strict=True) if old != now]
    assert [now for _, now in lines] == [
        old.replace(pinned()[name], version)
        for (old, _), (name, version) in zip(lines, (("torch", "9.9"), ("mslk", "8.8")), strict=True)
    ]
    assert with_pins(text, pinned_here(text)) == text


def pinned_here(text: str) -> dict[str, str]:
    return {name: version for name, version in pinned().items() if name in ("torch", "torchao", "diffusers", "mslk")}


@pytest.fixture
def stand_in(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> ProbeTools:
    """A suite whose pinned torchao 0.1 is installed, with a baseline."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATE_OVERRIDES", raising=False)
    installed = wheels(tmp_path / "installed", {"0.1": "good"})
    make_wheel(installed, "diffusers", "1.0")
    copy_environment(base, tmp_path / "pinned")
    step = InstallStep(requirements=tuple(f"{one.name.split('-')[0]} @ {one.as_uri()}" for one in installed.iterdir()))
    unpack(step, python=interpreter(tmp_path / "pinned"), log=tmp_path / "log")
    tools = stand_in_for_the_suite(tmp_path / "suite", tmp_path / "pinned")
    (tools.suite / "pyproject.toml").write_text(PINNED)
    (tools.suite / "baselines").mkdir()
    (tools.suite / "baselines" / "kept").touch()
    return tools


def run(
    tmp_path: Path, tools: ProbeTools, kinds: Mapping[str, str], *arguments: str, pins: Mapping[str, str] | None = None
) -> int:
    folder = wheels(tmp_path / "offers", kinds)
    for version in ("1.0", "1.1"):
        make_wheel(folder, "diffusers", version)
    with serving(Index(folder=folder)) as address:
        kept = ["--index", address, "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
        selected = ["--case", CASE, "--gate", "velocity"]
        return upgrade.main([*arguments, *kept, *selected], tools=tools, pins=pins or {"torchao": "0.1"})


def pins(tools: ProbeTools) -> str:
    return (tools.suite / "pyproject.toml").read_text()


def test_a_newer_release_is_told_and_nothing_is_written(
    tmp_path: Path, stand_in: ProbeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, stand_in, {"0.1": "good", "0.2": "good", "0.3": "bad"}) == 1
    said = capsys.readouterr()
    assert "newer: torchao 0.1 -> 0.3" in said.err
    assert "torchao 0.3 against pinned: 1 worse, 0 within noise or the same; 1 gate red on torchao 0.3" in said.out
    assert "c velocity: sqnr 20 dB -> 9.5 dB (52.5%), worse, fail on torchao 0.3" in " ".join(said.out.split())
    assert "exit code 1: together, at least one gate failed" in said.out
    assert 'next: nox -s upgrade -- --accept --reason "..." --case' in said.out
    assert asked(stand_in) == ["0.1", "0.3"]
    assert pins(stand_in) == PINNED
    assert "<td>worse</td>" in (tmp_path / "out" / "upgrade.html").read_text()
    assert "### torchao 0.3" in (tmp_path / "out" / "upgrade.md").read_text()
    assert list((tmp_path / "out" / "environments").glob("*/")) == []


def test_what_is_accepted_is_pinned_and_recorded_in_one_change(
    tmp_path: Path, stand_in: ProbeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    offered = {"0.1": "good", "0.2": "good"}
    assert run(tmp_path, stand_in, offered, "--accept", "--reason", "looked at") == 0
    assert "pins and baselines are written, to be committed as one change: looked at" in capsys.readouterr().out
    assert pins(stand_in) == PINNED.replace("torchao==0.1", "torchao==0.2")
    assert {path.name for path in (stand_in.suite / "baselines").iterdir()} == {"kept", "0.2"}
    assert asked(stand_in) == ["0.1", "0.2", "0.2"]


def test_what_breaks_its_limits_is_not_accepted(
    tmp_path: Path, stand_in: ProbeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, stand_in, {"0.1": "good", "0.2": "die"}, "--accept", "--reason", "looked at") == 1
    assert "nothing was written: recording ended with exit code 1" in capsys.readouterr().out
    assert pins(stand_in) == PINNED
    assert {path.name for path in (stand_in.suite / "baselines").iterdir()} == {"kept"}


def test_each_package_is_judged_by_itself_and_then_all_together(
    tmp_path: Path, stand_in: ProbeTools, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"0.1": "good", "0.2": "good"}
    assert run(tmp_path, stand_in, kinds, pins={"torchao": "0.1", "diffusers": "1.0"}) == 0
    said = capsys.readouterr().out
    for title in ("torchao 0.2", "diffusers 1.1", "all of them together"):
        assert f"{title} against pinned: nothing moved" in said
    assert asked(stand_in) == ["0.1", "0.2", "0.1", "0.2"]
    monkeypatch.setattr(upgrade, "barred", lambda one, _: "not here" if one.package == "torchao" else "")
    assert run(tmp_path, stand_in, kinds, pins={"torchao": "0.1", "diffusers": "1.0"}) == 0
    said = capsys.readouterr().out
    assert "torchao 0.2: not here" in said
    assert "exit code 0: together, without torchao 0.2, every gate passed" in said
    assert run(tmp_path, stand_in, kinds, "--package", "diffusers", pins={"torchao": "0.1", "diffusers": "1.0"}) == 0
    assert asked(stand_in)[4:] == ["0.1"] * 4


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 0, "the pins are the newest releases"),
        (["--accept"], 4, "--accept needs a reason that others will read"),
        (["--package", "numpy"], 4, "unknown package 'numpy'"),
    ],
)
def test_nothing_to_do_and_bad_questions_end_in_one_sentence(
    tmp_path: Path,
    stand_in: ProbeTools,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    assert run(tmp_path, stand_in, {"0.1": "good"}, *arguments) == code
    assert words in capsys.readouterr().err


def test_an_override_is_no_pinned_stack(
    tmp_path: Path, stand_in: ProbeTools, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATE_OVERRIDES", json.dumps([{"package": "torchao", "given": "0.17.0"}]))
    assert run(tmp_path, stand_in, {"0.2": "good"}) == 4
    assert "an upgrade starts from the pinned stack; leave out --torchao" in capsys.readouterr().err
