"""What a red verdict is answered with: by its causes, and with every option of the run that is red."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.bisect.question import parser, question, suite_options
from fixtures.catalog.lanes import LANES
from fixtures.gates.verdict import Cause, Check, Verdict, against, errored, failed
from fixtures.results.records import OverrideRecord
from fixtures.run.commands import Commands
from fixtures.run.next_command import bisect_arguments, moved_packages, next_command, since
from fixtures.run.options import OPTIONS, Option, RunOptions
from fixtures.stack.requirements import pinned

CASE = "flux1-dev/nvfp4-tiny-bs1-eager"
PINS = {"torch": "2.14.1", "torchao": "0.18.0", "diffusers": "0.42.1"}
BAD = against("sqnr", 9.5, floor=12.0, unit="dB")


def answered(
    *checks: Check, options: RunOptions | None = None, stack: dict[str, str] = PINS, lane: str = "cpu"
) -> list[str]:
    commands = Commands(options=options or RunOptions(), lane=LANES[lane], by_itself=lane == "cpu")
    return next_command(CASE, "velocity", checks, stack, commands, pins=PINS)


def test_pinned_stack_needs_no_versions_and_what_differs_from_it_is_named() -> None:
    assert moved_packages({"torch": "2.14.1+cu130", "torchao": "0.18.0"}, PINS) == []
    nightly = {"torch": "2.15.0.dev20261101+cu130", "torchao": "0.18.0", "mslk": "2026.11.1"}
    named = ["--bad", "torch=2.15.0.dev20261101+cu130", "mslk=2026.11.1", "--nightly"]
    assert moved_packages(nightly, PINS) == named
    release = {"torch": "2.14.1", "torchao": "0.17.0", "diffusers": "0.41.0", "torchvision": "0.1"}
    good, bad = ["torchao=0.18.0", "diffusers=0.42.1"], ["torchao=0.17.0", "diffusers=0.41.0"]
    assert moved_packages(release, PINS) == ["--good", *good, "--bad", *bad]
    assert moved_packages({"torchao": "0.17.0", "mslk": "1.0.0"}, PINS) == ["--bad", "torchao=0.17.0", "mslk=1.0.0"]
    assert {"torch", "torchao", "diffusers", "accelerate"} <= pinned().keys()


def test_red_night_is_bisected_from_the_last_green_one() -> None:
    green = {"torch": "2.12.0.dev20261030+cu130", "torchao": "0.19.0.dev20261031", "diffusers": "0.42.1"}
    red = {**green, "torch": "2.12.0.dev20261101+cu130"}
    assert since(green, red) == [
        "--good", "torch=2.12.0.dev20261030+cu130", "--bad", "torch=2.12.0.dev20261101+cu130", "--nightly",
    ]  # fmt: skip
    assert since(green, green) == since({}, red) == since(PINS, {**PINS, "torchao": "0.17.0"}) == []
    commands = Commands(options=RunOptions(), lane=LANES["b200"], by_itself=False)
    command = next_command(CASE, "velocity", [BAD], red, commands, pins=PINS, last_green=green)
    asked = question(parser().parse_args(bisect_arguments(command)))
    assert (asked.good, asked.bad) == ({"torch": green["torch"]}, {"torch": red["torch"]})


def test_red_gate_is_bisected_by_a_command_that_the_bisect_understands() -> None:
    command = answered(BAD, stack={"torch": "2.14.1", "torchao": "0.17.0"})
    arguments = bisect_arguments(command)
    assert arguments is not None
    asked = question(parser().parse_args(arguments))
    assert (asked.case, asked.gate) == (CASE, "velocity")
    assert (asked.good, asked.bad) == ({"torchao": "0.18.0"}, {"torchao": "0.17.0"})


@pytest.mark.parametrize("cause", Cause)
def test_cause_decides_what_is_asked(cause: Cause) -> None:
    command = answered(errored("velocity", "why", cause=cause), against("other", 2.0, floor=1.0))
    record = ["nox", "-s", "rebaseline", "--", CASE, "--reason", "..."]
    repeat = ["nox", "-s", "gate", "--", "--case", CASE, "--gate", "velocity"]
    if cause in (Cause.NO_BASELINE, Cause.BROKEN_BASELINE, Cause.EDITED_BASELINE):
        assert command == record
    elif cause in (
        Cause.MISSING_DEPENDENCY, Cause.INPUT, Cause.OUT_OF_MEMORY, Cause.NO_ROOM, Cause.DISTURBED, Cause.LOST,
    ):  # fmt: skip
        assert command == repeat, "no version is blamed"
    else:
        asked = "import" if cause is Cause.IMPORT_FAILED else "velocity"
        assert command == ["nox", "-s", "bisect", "--", "--case", CASE, "--gate", asked]
        assert bisect_arguments(command) is not None
        return
    assert bisect_arguments(command) is None


def test_only_checks_of_the_worst_verdict_decide() -> None:
    missing = failed("against baseline", "there is none", cause=Cause.NO_BASELINE)
    unsure = BAD.model_copy(update={"verdict": Verdict.UNSURE})
    assert answered(missing, unsure)[2] == "rebaseline"
    assert answered(missing, BAD)[2] == "bisect", "more than a baseline is missing"
    assert answered(against("sqnr", 13.0, floor=12.0)) == []
    assert answered()[2] == "bisect"


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.carried], ids=lambda option: option.name)
@pytest.mark.parametrize("cause", [Cause.LIMIT, Cause.NO_BASELINE, Cause.LOST])
def test_every_option_that_changes_what_is_measured_or_judged_is_part_of_the_next_command(
    option: Option, cause: Cause
) -> None:
    """A red `nox -s cpu` on a machine with a GPU once lost its `--machine cpu`."""
    value = str(Path("2").absolute()) if option.folder else VALUES.get(option.name, "2")
    given = [option.name] if option.flag else [option.name, value]
    options = suite_options(given)
    assert options != RunOptions()
    command = answered(failed("velocity", "why", cause=cause), options=options, lane="cpu")
    if command[2] == "bisect":
        assert command[-len(given) :] == given
        arguments = bisect_arguments(command)
        assert arguments is not None
        assert parser().parse_known_args(arguments)[1] == given, "it reaches every probe"
    elif option.name not in ("--machine", "--lane"):
        assert " ".join(given) in " ".join(command)


VALUES = {"--machine": "cpu", "--lane": "cpu", "--metric": "lpips-alex"}


def test_session_and_lane_are_part_of_the_command_that_repeats_a_gate() -> None:
    lost = errored("velocity", "why", cause=Cause.LOST)
    commands = Commands(options=suite_options(["--machine", "cpu"]), lane=LANES["cpu"], by_itself=False)
    repeated = next_command(CASE, "velocity", [lost], PINS, commands, pins=PINS)
    assert repeated[:4] == ["nox", "-s", "cpu", "--"]
    assert answered(lost, lane="b200-rehearsal")[:5] == ["nox", "-s", "b200", "--", "--rehearse"]


def test_the_command_of_a_run_has_its_overrides_and_nothing_that_a_session_adds() -> None:
    overrides = [OverrideRecord(package="torchao", given="0.17.0", pinned="0.18.0")]
    cpu = Commands(options=RunOptions(), lane=LANES["cpu"], by_itself=True, overrides=overrides)
    given = ["tests/gate", "--any-pair", "--checkpoint-folder", "a folder"]
    words = ["--torchao", "0.17.0", "--any-pair", "--checkpoint-folder", "a folder"]
    assert cpu.again(given) == ["nox", "-s", "gate", "--", *words]
    rehearsal = Commands(options=RunOptions(), lane=LANES["b200-rehearsal"], by_itself=False)
    assert rehearsal.again(["tests/gate", "--lane", "b200-rehearsal", "--model", "ltx-2"]) == [
        *("nox", "-s", "b200", "--", "--rehearse", "--model", "ltx-2")
    ]


@pytest.mark.parametrize(
    ("index", "told"),
    [
        ((), ["--nightly"]),
        (("--index", "file:///mirror"), ["--nightly", "file:///mirror"]),
        (("--index=file:///mirror",), ["--nightly", "file:///mirror"]),
    ],
)
def test_a_bisect_looks_where_the_run_found_its_nightlies(index: tuple[str, ...], told: list[str]) -> None:
    commands = Commands(options=RunOptions(), lane=LANES["b200"], by_itself=True, index=index)
    stack = {"torch": "2.16.0.dev20261129+cu130"}
    command = next_command("flux1-dev/mxfp8-hub-bs1-eager", "velocity", [], stack, commands, pins=PINS)
    at = command.index("--nightly")
    assert command[at : at + len(told)] == told
