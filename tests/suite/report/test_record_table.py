"""What a terminal shows: every gate once, red in full, skips with their reason, the exit code's meaning."""

from __future__ import annotations

import random
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.gates.verdict import RED, Cause, Check, ExitCode, Verdict, against, equals, errored, failed, skipped
from fixtures.report import words
from fixtures.report.summary import summarise
from fixtures.report.table import continued, render
from fixtures.results.records import GateRecord, typed
from fixtures.results.run import RecordedRun, RunFolder, read_run
from tests.suite.record_samples import CASES, header, record, write_run


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    """A finished run with three failures, an error and an unsure gate."""
    return read_run(write_run(tmp_path_factory.mktemp("red")))


def row(text: str, case: str, gate: str) -> str:
    """The line of one gate in the block of its case."""
    block = text[text.index(f"\n{case}\n") :].split("\n\n", maxsplit=1)[0]
    return next(line for line in block.splitlines() if line.split()[:1] == [gate])


@pytest.mark.parametrize("width", [80, 100, 120])
def test_every_gate_has_one_line_that_fits(red: RecordedRun, width: int) -> None:
    text = render(red, width=width)
    assert max(map(len, text.splitlines())) <= width
    for entry in red.records:
        assert row(text, entry.case, entry.gate).endswith(f"{words.MARKS[entry.verdict]} {entry.verdict}")


def test_a_row_shows_measured_limit_interval_and_verdict(red: RecordedRun) -> None:
    line = row(render(red, width=120), CASES[2], "speed")
    for part in ("0.4x", "ratio of seconds", "≥ 0.3x", "[0.385, 0.41]", "✓ pass"):
        assert part in line
    assert "3.976 to 4.056 MB" in row(render(red, width=120), CASES[2], "memory")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_command_to_type_stays_one_command_when_it_is_pasted(width: int) -> None:
    command = ["nox", "-s", "bisect", "--", "--case", "flux1-dev/nvfp4-tiny-bs1-eager", "--good", "torchao=0.18.0"]
    command += ["--reason", "why it moved"]
    lines = continued(command, width)
    assert max(map(len, lines.splitlines())) <= width
    assert shlex.split(lines.replace("\\\n", "")) == command  # as a shell joins them


def test_what_is_red_is_told_in_full_with_the_next_command(red: RecordedRun) -> None:
    text = " ".join(render(red, width=100).replace("\\\n", "").split())
    assert "RED 38 gates: 3 fail, 1 error, 1 unsure, 30 pass, 3 skip" in text
    for entry in red.records:
        if entry.verdict in RED:
            assert f"{entry.verdict} {entry.case} {entry.gate}: {entry.message}" in text
            assert f"again: {typed(entry.reproduce)}" in text
    assert 'next: nox -s rebaseline -- flux1-dev/bf16-tiny-bs2-eager --reason "..."' in text
    assert "exit code 1: at least one gate failed" in text
    assert "arithmetic emulated and native; metric lpips-alex" in text
    assert "time: 2 min 10 s (measure 1 min 13 s, compile 51 s" in text


def test_red_stands_before_unsure_and_after_the_table(red: RecordedRun) -> None:
    text = render(red, width=100)
    places = [text.index(mark) for mark in ("RED ", "✗ fail flux1", "! error flux1", "? unsure flux1", "- 3 skipped")]
    assert places == sorted(places)
    assert text.index(CASES[-1]) < places[0]


def test_skips_are_counted_named_and_explained(red: RecordedRun) -> None:
    text = " ".join(render(red, width=100).split())
    assert "- 3 skipped: digest of flux1-dev/bf16-tiny-bs2-eager and 2 more: depends on the CPU model" in text


def test_a_skipped_check_inside_a_passed_gate_is_named_too(tmp_path: Path) -> None:
    checks = [against("speedup", 1.2, floor=1), skipped("against baseline", "recorded on another CPU")]
    text = render(run_of(tmp_path, [record("speed", CASES[0], checks)], cases=[CASES[0]]), width=100)
    assert "GREEN  1 gates: 1 pass" in text
    assert "1 skipped: speed.against baseline of flux1-dev/bf16-tiny-bs1-eager: recorded on another CPU" in text


def run_of(root: Path, records: list[GateRecord], *, finished: bool = True, cases: list[str]) -> RecordedRun:
    """A run of these records."""
    folder = RunFolder.create(root)
    folder.write_header(header(folder.path.name, cases=cases))
    for entry in records:
        folder.append(entry)
    if finished:
        folder.finish()
    return read_run(folder.path)


PASSED = record("calls", CASES[0], [equals("calls", 16, 16)])


def test_a_run_without_its_end_is_never_green(tmp_path: Path) -> None:
    run = run_of(tmp_path, [PASSED], finished=False, cases=[CASES[0]])
    summary = summarise(run)
    assert (summary.verdict, summary.exit_code) == ("unfinished", 2)
    assert "UNFINISHED  1 gates of 40 planned" in render(run)


def test_a_selected_case_without_any_record_is_never_green(tmp_path: Path) -> None:
    run = run_of(tmp_path, [PASSED], cases=[CASES[0], CASES[1]])
    summary = summarise(run)
    assert (summary.verdict, summary.exit_code) == ("red", ExitCode.ERROR)
    assert f"no gate ran of {CASES[1]}" in render(run)


def test_a_green_run_says_so_and_exits_zero(tmp_path: Path) -> None:
    summary = summarise(run_of(tmp_path, [PASSED], cases=[CASES[0]]))
    assert (summary.verdict, summary.exit_code, summary.next) == ("green", 0, [])


def test_an_empty_run_says_that_nothing_was_selected(tmp_path: Path) -> None:
    run = run_of(tmp_path, [], cases=[])
    assert summarise(run).exit_code == ExitCode.NOTHING_SELECTED
    assert "none ran" in render(run)


def test_in_a_long_run_the_passed_gates_of_a_case_share_a_line(tmp_path: Path) -> None:
    gates = [f"gate{number}" for number in range(60)]
    records = [record(gate, case, [against("x", 1.5, floor=1)]) for case in CASES for gate in gates]
    records[70] = record(gates[10], CASES[1], [against("x", 0.5, floor=1)])
    text = render(run_of(tmp_path, records, cases=list(CASES)), width=100)
    assert len(text.splitlines()) < 60
    assert "60 gates" in text
    assert row(text, CASES[1], "gate10").endswith("✗ fail")


def test_messages_are_shown_as_they_are_not_as_markup(tmp_path: Path) -> None:
    odd = record("calls", CASES[0], [equals("calls", 3, 4, note="[bold]x[/bold] [/red]")])
    assert "[bold]x[/bold] [/red]" in render(run_of(tmp_path, [odd], cases=[CASES[0]]), width=120)


def test_colour_is_only_for_terminals_that_have_it(red: RecordedRun) -> None:
    assert "\x1b[" not in render(red)
    assert "\x1b[" in render(red, colour=True)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (11.46e9, "bytes", "11.46 GB"),
        (5_956_000, "bytes", "5.956 MB"),
        (12, "bytes", "12 bytes"),
        (494, "", "494"),
        (1.2149, "x", "1.215x"),
        (-3.25, "dB", "-3.25 dB"),
        (12345.67, "ms", "12345.7 ms"),
        (0.00012345, "", "0.0001234"),
    ],
)
def test_numbers_read_well(value: float, unit: str, text: str) -> None:
    assert words.quantity(value, unit) == text


@given(st.floats(0, 1e7))
def test_a_duration_never_shows_sixty_seconds(value: float) -> None:
    shown = words.seconds(value)
    assert " 60 s" not in f" {shown}"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (list("abcd"), "a, b, c and d"),
        (list("abcdef"), "a, b, c and 3 more"),
    ],
)
def test_lists_read_as_sentences(names: list[str], text: str) -> None:
    assert words.listed(names) == text


def test_the_shown_check_is_the_one_that_decided() -> None:
    checks = [against(name, value, floor=1) for name, value in (("a", 2.0), ("b", 0.5), ("c", 0.4))]
    luck = random.Random(0)
    for _ in range(6):
        luck.shuffle(checks)
        shown = words.deciding(record("x", CASES[0], checks))
        assert isinstance(shown, Check)
        assert shown.verdict is Verdict.FAIL


def test_what_every_gate_of_a_model_says_is_told_once() -> None:
    said = "its weights do not load"
    records = tuple(
        record(gate, case, [errored(gate, said)], next=["nox", "-s", "gate"])
        for case in CASES[:2]
        for gate in ("manifest", "memory", "calls")
    )
    run = RecordedRun(folder=Path("somewhere"), header=header("run"), records=records, truncated=False)
    text = " ".join(render(run, width=120).split("RED", maxsplit=1)[1].split())
    assert text.count(said) == 1
    assert f"so say 6 gates of {CASES[0]}" in text


@pytest.mark.parametrize("whole", [True, False])
def test_one_command_records_every_case_that_lacks_a_baseline(whole: bool) -> None:
    missing = failed("digest", "it is missing; record it", cause=Cause.NO_BASELINE)
    records = tuple(
        record(
            "digest",
            case,
            [missing],
            next=["nox", "-s", "b200", "--", "--rebaseline", "--case", case, "--reason", "..."],
        )
        for case in CASES[:2]
    )
    told = header("run", cases=list(CASES[:2]), whole=whole)
    command = summarise(RecordedRun(folder=Path("x"), header=told, records=records, truncated=False)).next
    named = [] if whole else ["--case", CASES[0], "--case", CASES[1]]
    assert command == ["nox", "-s", "b200", "--", "--rebaseline", *named, "--reason", "..."]
