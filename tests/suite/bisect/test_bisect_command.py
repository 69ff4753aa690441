"""What a red verdict is answered with, and the ends that a bisect takes from a baseline."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from fixtures.bisect.answer import compare_link
from fixtures.bisect.command import CARRIED, after_red, bisect_command, carried, overriding, pinned
from fixtures.bisect.ends import moved, named
from fixtures.bisect.evidence import Observation, Outcome, Rule, meaning, normal
from fixtures.bisect.history import Meaning
from fixtures.bisect.question import BadQuestion, parser, question
from fixtures.bisect.schema import Side
from fixtures.gates.verdict import Verdict
from fixtures.results.schema import CheckRecord

CASE = "flux1-dev/nvfp4-tiny-bs1-eager"
PINS = {"torch": "2.14.1", "torchao": "0.18.0", "diffusers": "0.42.1"}


def test_pinned_stack_needs_no_ends_and_what_differs_from_it_is_named() -> None:
    assert bisect_command(CASE, "velocity", {"torch": "2.14.1+cu130", "torchao": "0.18.0"}, PINS) == (
        f"nox -s bisect -- --case {CASE} --gate velocity"
    )
    nightly = {"torch": "2.15.0.dev20261101+cu130", "torchao": "0.18.0", "mslk": "2026.11.1"}
    assert bisect_command(CASE, "speed", nightly, PINS) == (
        f"nox -s bisect -- --case {CASE} --gate speed --bad torch=2.15.0.dev20261101+cu130 mslk=2026.11.1 --nightly"
    )
    release = {"torch": "2.14.1", "torchao": "0.17.0", "diffusers": "0.41.0"}
    assert bisect_command(CASE, "speed", release, PINS) == (
        f"nox -s bisect -- --case {CASE} --gate speed --good torchao=0.18.0 diffusers=0.42.1 "
        "--bad torchao=0.17.0 diffusers=0.41.0"
    )
    unpinned = bisect_command(CASE, "speed", {"torchao": "0.17.0", "mslk": "1.0.0"}, PINS)
    assert unpinned.endswith("--gate speed --bad torchao=0.17.0 mslk=1.0.0")
    assert {"torch", "torchao", "diffusers"} <= pinned().keys()


def test_next_command_is_one_that_the_bisect_understands() -> None:
    stack = {"torch": "2.14.1", "torchao": "0.17.0"}
    command = after_red(CASE, "velocity", "sqnr 9.5 dB below floor 12 dB", stack, PINS)
    options = parser().parse_args(shlex.split(command)[4:])
    assert (question(options).good, question(options).bad) == ({"torchao": "0.18.0"}, {"torchao": "0.17.0"})


def test_options_that_change_what_is_measured_are_part_of_the_next_command(pytestconfig: pytest.Config) -> None:
    assert carried(pytestconfig.option) == []
    assert all(hasattr(pytestconfig.option, name[2:].replace("-", "_")) for name in CARRIED)
    other = SimpleNamespace(rehearse="b200", checkpoint_folder="my folder", metric="auto", threads=2, baselines="b")
    same = carried(other)
    assert same == ["--rehearse", "b200", "--checkpoint-folder", "my folder", "--baselines", "b", "--threads", "2"]
    command = after_red(CASE, "velocity", "red", PINS, PINS, same)
    assert parser().parse_known_args(shlex.split(command)[4:])[1] == same


def test_overrides_are_part_of_the_command_that_repeats_a_gate() -> None:
    described = ["diffusers 0.38.0 (override; pinned ==0.42.1)", "torchao ../my ao (override; pinned nowhere)"]
    assert overriding(described) == ["--diffusers", "0.38.0", "--torchao", "../my ao"]


def test_red_for_want_of_a_baseline_is_recorded_and_a_broken_import_is_asked_for() -> None:
    missing = f'digest: there is no baseline; record it: nox -s rebaseline -- {CASE} --reason "..."'
    assert after_red(CASE, "digest", missing, PINS, PINS) == f'nox -s rebaseline -- {CASE} --reason "..."'
    broken = "velocity: importing torchao fails: ImportError: no"
    assert after_red(CASE, "velocity", broken, PINS, PINS).endswith("--gate import")


def test_baseline_tells_the_good_end() -> None:
    then = {"torch": "2.13.0+cpu", "torchao": "0.18.0", "diffusers": "0.41.0", "python": "3.11.7"}
    now = {"torch": "2.14.1+cu130", "torchao": "0.18.0", "diffusers": "0.42.1", "python": "3.12.1"}
    assert moved(then, now) == (
        {"torch": "2.13.0", "diffusers": "0.41.0"},
        {"torch": "2.14.1", "diffusers": "0.42.1"},
    )
    asked = question(parser().parse_args(["--case", CASE, "--gate", "velocity"]))
    with pytest.raises(BadQuestion, match="no end was given and no baseline tells a good one"):
        named(asked, baselines=Path("nowhere"), machine="cpu", now=now)


@pytest.mark.parametrize(
    ("package", "good", "bad", "link"),
    [
        ("torchao", Side(version="0.16.0"), Side(version="0.17.0"), "pytorch/ao/compare/v0.16.0...v0.17.0"),
        ("torchao", Side(version="0.17.0"), Side(version="0.16.0"), "pytorch/ao/compare/v0.16.0...v0.17.0"),
        ("torch", Side(version="2.13.0", git="a"), Side(version="2.14.1", git="b"), "pytorch/pytorch/compare/a...b"),
    ],
)
def test_compare_link_leads_from_the_older_to_the_newer(package: str, good: Side, bad: Side, link: str) -> None:
    assert compare_link(package, good, bad) == f"https://github.com/{link}"


def test_nightlies_without_commits_have_no_link() -> None:
    nightlies = [Side(version=f"0.19.0.dev2026100{day}") for day in (1, 2)]
    assert compare_link("torchao", *nightlies) == ""


def seen(verdict: str, name: str = "sqnr", outcome: Outcome = Outcome.RAN, message: str = "m") -> Observation:
    check = CheckRecord(name=name, verdict=Verdict(verdict), value=1.0, floor=0.5)
    return Observation(outcome=outcome, verdict=verdict, message=message, checks=[check])


def test_red_for_another_reason_is_a_gap() -> None:
    rule = Rule(kind="verdict", gate="quality", good=seen("pass"), bad=seen("fail"))
    assert meaning(seen("fail"), rule)[0] is Meaning.BAD
    assert meaning(seen("fail", "controls"), rule)[0] is Meaning.GAP
    assert meaning(seen("unsure"), rule)[0] is Meaning.UNSURE
    assert meaning(seen("skip"), rule)[0] is Meaning.GAP
    assert meaning(seen("pass", outcome=Outcome.HUNG), rule)[0] is Meaning.GAP


def test_gate_that_breaks_off_is_bad_where_the_bad_end_breaks_off_alike() -> None:
    def broken(message: str) -> Observation:
        return Observation(outcome=Outcome.NOT_BUILT, verdict="error", message=message)

    rule = Rule(kind="verdict", gate="round_trip", good=seen("pass"), bad=broken("ValueError: type <X> at 0x7f12"))
    assert meaning(broken("ValueError: type <X> at 0x99ab"), rule)[0] is Meaning.BAD
    assert meaning(broken("ValueError: not serializable"), rule)[0] is Meaning.GAP


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no kernel for 3.11 (raised in torch/a.py:12)", "no kernel for 3.12 (raised in torch/a.py:99)"),
        ("cannot open /home/a/b.so", "cannot open /opt/c/d/b.so"),
        ("tensor of 494 at 0x7f", "tensor of 12 at 0x8e"),
    ],
)
def test_errors_of_a_kind_are_equal(one: str, other: str) -> None:
    assert normal(one) == normal(other)


def test_margin_is_measured_in_the_direction_of_the_bound() -> None:
    def velocity(*steps: float) -> Observation:
        return Observation(outcome=Outcome.RAN, verdict="pass", message="m", per_step_db=list(steps))

    rule = Rule(kind="margin", gate="velocity", margin=0.1, good=velocity(20.0, 12.0))
    assert meaning(velocity(20.0, 11.95), rule)[0] is Meaning.GOOD
    assert meaning(velocity(20.0, 11.8), rule) == (Meaning.BAD, "worst step, dB worse by 0.2")
    assert meaning(velocity(25.0, 13.0), rule)[0] is Meaning.GOOD
    ceiling = Observation(
        outcome=Outcome.RAN,
        verdict="pass",
        message="m",
        checks=[CheckRecord(name="lpips", verdict=Verdict.PASS, value=0.3, ceiling=0.5)],
    )
    worse = ceiling.model_copy(update={"checks": [ceiling.checks[0].model_copy(update={"value": 0.45})]})
    assert meaning(worse, Rule(kind="margin", gate="quality", margin=0.1, good=ceiling))[0] is Meaning.BAD
