"""A red run is compared with what known faults turned red; evidence is shown, and nothing is said without enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fixtures.gates.verdict import against, errored, failed
from fixtures.report.likeness_rules import LEAST, MOST, Pattern, likenesses, red_evidence


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
    return [one.pattern.fault for one in likenesses(format="nvfp4", red=red, green=green, known=known)]


def test_the_same_pattern_is_named_first_and_shares_everything() -> None:
    (found,) = likenesses(
        format="nvfp4", red=DROPPED.red, green=("manifest", "kernels"), known=(DROPPED, SKIPPED, OTHER)
    )
    assert found.pattern is DROPPED
    assert found.share == 1
    assert found.sentence() == (
        "looks like pytorch 1: scale_dropped (what it did) by 100% of the evidence: arithmetic: linear, "
        "kernels green, manifest green, velocity: floor, velocity: loss"
    )


def test_what_differs_is_said() -> None:
    (found,) = likenesses(
        format="nvfp4", red={"arithmetic": ["linear"], "velocity": ["loss"]}, green=("manifest",), known=(DROPPED,)
    )
    assert found.apart == ("velocity: floor only there",)
    assert found.sentence().endswith("; but velocity: floor only there")


def test_gates_that_only_one_side_ran_say_nothing() -> None:
    assert names({"arithmetic": ["linear"]}) == ["scale_dropped"]
    assert names({"compile": ["graph breaks"]}, "arithmetic") == []


def test_a_format_of_its_own_comes_before_others() -> None:
    assert names({gate: list(checks) for gate, checks in OTHER.red.items()}, "manifest", known=(OTHER,)) == ["mx_scale"]


def test_too_little_in_common_is_no_likeness() -> None:
    assert names({"velocity": ["steps"], "arithmetic": ["weight"]}) == []


def test_the_other_side_of_a_limit_and_another_exception_are_other_evidence() -> None:
    checks = [
        against("saved", 1.0, floor=2.0, ceiling=3.0),
        against("saved", 4.0, floor=2.0, ceiling=3.0),
        against("saved", 2.5, floor=2.0, ceiling=3.0),
        against("lpips", float("nan"), ceiling=1.0),
        errored("memory", "importing torchao fails: ImportError: no such symbol"),
        errored("calls", "RuntimeError: shape '[1, 128]' is invalid"),
        errored("compile", "aot_eager with fullgraph=True raised Unsupported: graph break"),
        failed("baseline", "is missing"),
    ]
    assert red_evidence(checks) == [
        "baseline",
        "calls: RuntimeError",
        "compile: Unsupported",
        "lpips: not a number",
        "memory: importing torchao fails",
        "saved too high",
        "saved too low",
    ]


reds = st.dictionaries(
    st.sampled_from(["arithmetic", "velocity", "manifest", "memory"]),
    st.lists(st.sampled_from(["linear", "floor", "loss", "count", "saved"]), min_size=1, unique=True),
)


@given(red=reds, green=st.lists(st.sampled_from(["kernels", "quality", "manifest"]), unique=True))
def test_shares_are_shares_and_the_best_comes_first(red: dict[str, list[str]], green: list[str]) -> None:
    found = likenesses(format="nvfp4", red=red, green=green, known=(DROPPED, SKIPPED, OTHER))
    shares = [one.share for one in found]
    assert shares == sorted(shares, reverse=True)
    assert all(LEAST <= share <= 1 for share in shares)
    assert len(found) <= MOST
    assert all(one.common for one in found)
