"""A red run is compared with what known faults turned red; evidence is shown, and nothing is said without enough."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fixtures.gates.verdict import Cause, against, errored, failed
from fixtures.report.known_faults import (
    LEAST,
    MOST,
    PATTERNS,
    Pattern,
    known_patterns,
    looks_like,
    red_evidence,
    resembling,
    write_patterns,
)
from tests.suite.record_samples import CASES, record


def pattern(fault: str, red: dict[str, list[str]], *green: str, format: str = "nvfp4") -> Pattern:
    """A known fault."""
    return Pattern(
        fault=fault, models="what it did", sources=("pytorch 1",), format=format, red=red, green=tuple(green)
    )


DROPPED = pattern("scale_dropped", {"arithmetic": ["linear"], "velocity": ["floor", "loss"]}, "manifest", "kernels")
SKIPPED = pattern("linears_skipped", {"manifest": ["count"], "memory": ["saved"]}, "kernels")
OTHER = pattern("mx_scale", {"arithmetic": ["linear"], "velocity": ["floor", "loss"]}, "manifest", format="mxfp8")


def names(red: dict[str, list[str]], *green: str, known: tuple[Pattern, ...] = (DROPPED, SKIPPED, OTHER)) -> list[str]:
    """The faults that a pattern looks like, best first."""
    return [one.pattern.fault for one in resembling(format="nvfp4", red=red, green=green, known=known)]


def test_the_same_pattern_is_named_first_and_shares_everything() -> None:
    (found,) = resembling(format="nvfp4", red=DROPPED.red, green=("manifest", "kernels"), known=(DROPPED, SKIPPED))
    assert found.pattern is DROPPED
    assert found.share == 1
    assert found.sentence() == (
        "looks like pytorch 1: scale_dropped (what it did) by 100% of the evidence, 4 signals that tell faults apart: "
        "arithmetic: linear, kernels green, manifest green, velocity: floor, velocity: loss"
    )


def test_what_differs_is_said() -> None:
    (found,) = resembling(
        format="nvfp4", red={"arithmetic": ["linear"], "velocity": ["loss"]}, green=("manifest",), known=(DROPPED,)
    )
    assert found.apart == ("velocity: floor only there",)
    assert found.sentence().endswith("; but velocity: floor only there")


def test_gates_that_only_one_side_ran_say_nothing() -> None:
    red = {"arithmetic": ["linear"], "velocity": ["floor", "loss"]}
    assert names(red, known=(DROPPED, SKIPPED)) == ["scale_dropped"]
    assert names({"compile": ["graph breaks"]}, "arithmetic") == []


def test_two_signals_and_those_that_every_fault_shows_are_no_likeness() -> None:
    assert names({"velocity": ["floor", "loss"]}, known=(DROPPED,)) == []
    red = {gate: list(checks) for gate, checks in DROPPED.red.items()}
    assert names(red, "kernels", known=(DROPPED, OTHER)) == [], "the other fault shows the same"


def test_a_format_of_its_own_comes_before_others() -> None:
    assert names({gate: list(checks) for gate, checks in OTHER.red.items()}, "manifest", known=(OTHER,)) == ["mx_scale"]


def test_too_little_in_common_says_nothing() -> None:
    assert names({"velocity": ["steps"], "arithmetic": ["weight"]}) == []


def test_the_other_side_of_a_limit_and_another_exception_are_other_evidence() -> None:
    checks = [
        against("saved", 1.0, floor=2.0, ceiling=3.0),
        against("saved", 4.0, floor=2.0, ceiling=3.0),
        against("saved", 2.5, floor=2.0, ceiling=3.0),
        against("lpips", float("nan"), ceiling=1.0),
        errored("memory", "no such symbol", cause=Cause.IMPORT_FAILED, what="torchao"),
        errored("calls", "shape '[1, 128]' is invalid", cause=Cause.BROKE_OFF, what="RuntimeError"),
        errored("compile", "graph break", cause=Cause.BROKE_OFF, what="Unsupported"),
        errored("quality", "nothing was drawn"),
        failed("baseline", "is missing"),
    ]
    assert red_evidence(checks) == [
        "baseline",
        "calls: RuntimeError",
        "compile: Unsupported",
        "lpips: not a number",
        "memory: importing torchao fails",
        "quality",
        "saved too high",
        "saved too low",
    ]


reds = st.dictionaries(
    st.sampled_from(["arithmetic", "velocity", "manifest", "memory"]),
    st.lists(st.sampled_from(["linear", "floor", "loss", "count", "saved"]), min_size=1, unique=True),
)


@given(red=reds, green=st.lists(st.sampled_from(["kernels", "quality", "manifest"]), unique=True))
def test_shares_are_shares_and_the_best_comes_first(red: dict[str, list[str]], green: list[str]) -> None:
    found = resembling(format="nvfp4", red=red, green=green, known=(DROPPED, SKIPPED, OTHER))
    shares = [one.share for one in found]
    assert shares == sorted(shares, reverse=True)
    assert all(LEAST <= share <= 1 for share in shares)
    assert len(found) <= MOST
    assert all(one.common for one in found)


def test_cases_that_look_alike_are_told_once_and_green_ones_not_at_all() -> None:
    too_low = [against(name, 1.0, floor=2.0) for name in ("linear", "product", "weight")]
    fine, how = against("linear", 3.0, floor=2.0), ["linear too low", "product too low", "weight too low"]
    records = [record("arithmetic", case, too_low) for case in CASES[2:5]]
    records += [record("arithmetic", CASES[5], [fine]), record("calls", CASES[4], too_low)]
    known = (pattern("scale_dropped", {"arithmetic": how}), pattern("x", {"calls": how}))
    (first, second) = looks_like(records, known)
    assert (first.cases, first.subject) == (list(CASES[2:4]), f"{CASES[2]} (and 1 more)")
    assert first.sentences == [
        (
            "looks like pytorch 1: scale_dropped (what it did) by 100% of the evidence, 3 signals that tell faults "
            "apart: arithmetic: linear too low, arithmetic: product too low, arithmetic: weight too low"
        )
    ]
    assert (second.subject, len(second.sentences)) == (CASES[4], 2)


def test_patterns_of_faults_that_were_measured_again_replace_the_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "patterns.json"
    write_patterns([DROPPED, SKIPPED], again=["scale_dropped", "linears_skipped"], path=path)
    moved = pattern("linears_skipped", {"memory": ["saved"]}, "kernels")
    write_patterns([moved, pattern("seen_by_none", {})], again=["linears_skipped", "seen_by_none"], path=path)
    assert known_patterns(path) == (moved, DROPPED)
    text = PATTERNS.read_text()
    copy = tmp_path / "copy.json"
    assert write_patterns(known_patterns(), again=[], path=copy).read_text() == text, "the shipped file is whole"
