"""Every command that the suite prints is typed as it stands there, and the session that it names understands it."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from html import unescape
from pathlib import Path

import pytest

import fixtures.compare.__main__ as compare
import fixtures.trend.__main__ as trend
from fixtures import ROOT
from fixtures.bisect.question import pairs, question, suite_options
from fixtures.bisect.question import parser as bisect_parser
from fixtures.catalog.lanes import LANES
from fixtures.catalog.packages import overridable
from fixtures.catalog.schema import Lane
from fixtures.gates.verdict import Cause, ExitCode, against, errored, failed
from fixtures.report.__main__ import main as report
from fixtures.results.records import OverrideRecord, typed
from fixtures.run.commands import Commands, report_of
from fixtures.run.launch import PROGRAMS, selected
from fixtures.run.next_command import next_command
from fixtures.run.options import OPTIONS, RunOptions, with_absolute_folders
from fixtures.run.plan import Plan, plan
from fixtures.stack.installed import InstalledPackage, Stack, incompatibility
from fixtures.stack.requirements import resolve_override, split_arguments
from tests.suite.gate_runs import BF16, NVFP4, Gate, cases, gates
from tests.suite.record_samples import write_run

COMMAND = re.compile(r"nox -s [a-z0-9]+(?: -- [^`\n]*)?")
SESSIONS = {*PROGRAMS, *(lane.session for lane in LANES.values()), "lint"}


class Strict(argparse.ArgumentParser):
    """A parser that raises."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise AssertionError(message)


def run_options(arguments: Sequence[str]) -> RunOptions:
    """What pytest's parser makes of arguments of the suite's own; any other is an error."""
    parser = Strict(allow_abbrev=False)
    for option in OPTIONS:
        parser.add_argument(option.name, **option.keywords())
    return RunOptions.of(parser.parse_args(arguments))


def lane_asked_for(session: str, given: Sequence[str]) -> Lane:
    lanes = [lane for lane in LANES.values() if lane.session == session and set(lane.asked_by) <= set(given)]
    return max(lanes, key=lambda lane: len(lane.asked_by), default=LANES["cpu"])


def judge(session: str, given: Sequence[str], folder: Path) -> Plan:
    """A session that judges or records: its overrides, its lane and its plan."""
    lane = lane_asked_for(session, given)
    overrides, rest = split_arguments(given, () if lane.stack == "released" else ("index", "cuda", "date"))
    for package in overrides.keys() - {"index", "cuda", "date"}:
        resolve_override(package, overrides[package], relative_to=folder)
    options = run_options([*lane.arguments, *selected([one for one in rest if one not in lane.asked_by])])
    assert session != "rebaseline" or options.reason
    planned = plan(options, lane.machine or "cpu")
    assert planned.gates
    return planned


def ask(given: Sequence[str]) -> None:
    """A bisect."""
    options, rest = bisect_parser().parse_known_args(given)
    run_options(rest)
    suite_options(rest)
    if options.resume is None:
        question(options)


def put_side_by_side(given: Sequence[str]) -> None:
    """A comparison."""
    options, rest = compare.parser().parse_known_args(given)
    run_options(rest)
    assert pairs(options.a) != pairs(options.b)


def type_in(text: str, folder: Path) -> None:
    """What happens when `text` is typed in `folder`, up to the point where something would be installed."""
    words = shlex.split(text)
    assert words[:2] == ["nox", "-s"]
    session, given = words[2], with_absolute_folders(words[4:], folder)
    assert session in SESSIONS
    if session == "bisect":
        ask(given)
    elif session == "compare":
        put_side_by_side(given)
    elif session == "report":
        assert report(given) == 0
    else:
        assert session not in PROGRAMS or PROGRAMS[session].module == "pytest"
        judge(session, given, folder)


def printed_in(text: str) -> list[str]:
    """The commands in a terminal's output or a page; a shell joins lines that end with a backslash."""
    joined = unescape(re.sub(r" \\\n\s*", " ", re.sub(r"</?[a-z][^>]*>", "\n", text)))
    return list(dict.fromkeys(one.strip() for one in COMMAND.findall(joined)))


# ---- what a run prints ---------------------------------------------------------------------------------------------

OVERRIDES = [OverrideRecord(package="torchao", given="0.17.0", pinned="0.18.0")]


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunOptions:
    """Every option that a command carries, folders as somebody types them who stands elsewhere."""
    monkeypatch.chdir(tmp_path)
    folders = ["--checkpoint-folder", "my weights", "--baselines", "kept", "--results", "out"]
    return suite_options([*folders, "--any-pair", "--no-skips", "--threads", "2", "--metric", "lpips-alex"])


@pytest.mark.parametrize("cause", [Cause.LIMIT, Cause.NO_BASELINE, Cause.IMPORT_FAILED, Cause.INPUT])
@pytest.mark.parametrize("lane", LANES.values(), ids=lambda lane: lane.name)
def test_what_answers_a_cause_is_typed_with_all_that_the_run_was_given(
    lane: Lane, cause: Cause, options: RunOptions, tmp_path: Path
) -> None:
    commands = Commands(
        options=options, lane=lane, by_itself=lane.default, overrides=OVERRIDES, index=("--cuda", "13.0")
    )
    if lane.stack == "released":
        commands = Commands(options=options, lane=lane, by_itself=lane.default, overrides=OVERRIDES)
    stack = {"torch": "2.14.1+cu130", "torchao": "0.17.0", "diffusers": "0.42.1"}
    case, gate = ("flux1-dev/nvfp4-meta-bs1-eager", "manifest") if lane.checkpoint == "meta" else (NVFP4, "velocity")
    told = [
        next_command(case, gate, [errored(gate, "why", cause=cause)], stack, commands),
        commands.repeat(case, gate),
        commands.record(case),
        commands.again(["tests/gate", *lane.arguments, "--any-pair"]),
    ]
    for command in told:
        type_in(typed(command), tmp_path / "elsewhere")
        assert "--any-pair" in command
    for command in told[:3]:
        assert command[command.index("--checkpoint-folder") + 1] == str(tmp_path / "my weights")
        assert "torchao=0.17.0" in command or command[command.index("--torchao") + 1] == "0.17.0"


def test_a_checkout_is_compared_and_not_bisected(tmp_path: Path) -> None:
    """No index serves it to a bisect."""
    checkout = tmp_path / "ao"
    checkout.mkdir()
    (checkout / "setup.py").write_text("")
    given = resolve_override("torchao", "ao", relative_to=tmp_path).given
    assert given == str(checkout), "so that it is found from anywhere"
    overrides = [OverrideRecord(package="torchao", given=given, pinned="0.18.0")]
    commands = Commands(options=RunOptions(), lane=LANES["cpu"], by_itself=True, overrides=overrides)
    stack = {"torch": "2.14.1", "torchao": "0.19.0+git12345"}
    bad = [against("sqnr", 9.5, floor=12.0)]
    command = next_command(NVFP4, "velocity", bad, stack, commands, pins={"torch": "2.14.1", "torchao": "0.18.0"})
    assert command[:6] == ["nox", "-s", "compare", "--", "--b", f"torchao={checkout}"]
    type_in(typed(command), tmp_path)
    moved = next_command(NVFP4, "velocity", bad, {**stack, "torch": "2.13.0"}, commands, pins={"torch": "2.14.1"})
    assert "torch=2.13.0" in moved
    assert not any("torchao" in word for word in moved)


def test_a_red_run_prints_commands_that_are_typed_as_they_stand_on_the_terminal_and_the_page(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE_OVERRIDES", '[{"package": "torchao", "given": "0.17.0", "pinned": "0.18.0"}]')
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no weights").mkdir()
    monkeypatch.setattr(sys, "argv", ["pytest", "tests/gate", "--any-pair", "--checkpoint-folder", "no weights"])
    outcome = gate(*cases(BF16, NVFP4), *gates("manifest", "calls", "digest"), "--any-pair", checkpoints="no weights")
    assert outcome.code == ExitCode.ERROR
    folder = str(tmp_path / "no weights")
    for where, text in (("terminal", outcome.text), ("page", outcome.page)):
        commands = printed_in(text)
        assert commands, where
        assert not any(" bisect " in one for one in commands), "no version lost the weights"
        for command in commands:
            words = shlex.split(command)
            assert words[words.index("--checkpoint-folder") + 1] == folder, (where, command)
            assert words[words.index("--torchao") + 1] == "0.17.0", (where, command)
            assert "--any-pair" in words, (where, command)
            type_in(command, tmp_path)


def test_pytest_itself_takes_what_is_printed(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no weights").mkdir()
    red = gate(*cases(BF16), *gates("calls"), "--any-pair", checkpoints="no weights")
    (again,) = {typed(record.reproduce) for record in red.records}
    words = shlex.split(again)
    collected = gate(*words[words.index("--") + 1 :], "--collect-only", "-q")
    assert collected.code == 0, collected.text
    assert f"[{BF16}]" in collected.text


def test_the_command_that_writes_a_report_later_writes_it(tmp_path: Path) -> None:
    folder = write_run(tmp_path, red=False)
    type_in(typed(report_of(folder)), tmp_path)


def test_an_interrupted_run_prints_how_it_goes_on(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fixtures.gates.schedule.GATE.measure", interrupted)
    outcome = gate(*cases(BF16), *gates("schedule"))
    assert outcome.code == pytest.ExitCode.INTERRUPTED
    (command,) = [one for one in printed_in(outcome.text) if "--resume" in one]
    assert command.count("--resume") == 1


# ---- what a message tells to type ----------------------------------------------------------------------------------


def told_by_sources() -> Iterator[tuple[str, str]]:
    """(where, command) of every command in a string of the suite; what it fills in is `{}`."""
    for path in sorted((ROOT / "fixtures").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if id(node) in documented | inside:
                continue
            for command in COMMAND.findall(_text(node)):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", command


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return ""


def known_options(session: str) -> set[str]:
    """The options that a session has: the suite's, the stack's, its lanes', and what stands in its program's files."""
    known = {option.name for option in OPTIONS} | {f"--{name}" for name in overridable()}
    known |= {word for lane in LANES.values() if lane.session == session for word in lane.asked_by}
    program = PROGRAMS.get(session)
    for module in () if program is None else (program.module, *program.instead.values()):
        for path in (ROOT / module.replace(".", "/")).glob("*.py"):
            known |= set(re.findall(r'"(--[a-z-]+)"', path.read_text(encoding="utf-8")))
    return known


def test_every_command_in_a_message_names_a_session_and_options_that_exist() -> None:
    found = list(told_by_sources())
    assert len(found) > 10
    for where, command in found:
        words = command.replace("{}", "x").replace("\\", "").split()
        assert words[2] in SESSIONS, (where, command)
        named = {word.partition("=")[0].rstrip(",.;:)'\"") for word in words[3:] if word.startswith("--")} - {"--"}
        assert named <= known_options(words[2]), (where, command)


@pytest.mark.parametrize(
    ("packages", "asked"),
    [
        ({"torch": "2.13.0+cu130", "torchvision": "0.28.0+cpu"}, {"torch": "===2.13.0"}),
        ({"torch": "2.9.0+cpu", "torchao": "0.18.0+cpu"}, {"torch": "2.11.0", "torchao": "0.18.0"}),
    ],
)
def test_a_stack_that_does_not_fit_is_answered_by_one_that_can_be_asked_for(
    packages: dict[str, str], asked: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "fixtures.stack.installed._text", lambda package, file: 'min_torch_version = _parse_version("2.11.0")'
    )
    names = [
        InstalledPackage(name=name, version=version, git_sha=None, wheel=None, origin=None)
        for name, version in packages.items()
    ]
    said = incompatibility(Stack(packages=tuple(names), python="3.11.7", cuda=None))
    assert said is not None
    command = said[said.index("nox -s") :].partition(", or ")[0]
    type_in(command, tmp_path)
    assert split_arguments(shlex.split(command)[4:])[0] == asked


def test_an_empty_history_is_answered_by_what_fills_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trend.main(["--history", str(tmp_path)]) == 4
    (command,) = printed_in(capsys.readouterr().err)
    type_in(command, tmp_path)


def test_only_a_failure_that_a_version_may_have_caused_is_bisected() -> None:
    commands = Commands(options=RunOptions(), lane=LANES["cpu"], by_itself=True)
    missing = failed("velocity", "the weights are truncated", cause=Cause.INPUT)
    assert next_command(NVFP4, "velocity", [missing], {}, commands)[2] == "gate"
