"""What a probe's record means for the question, the versions that a baseline tells, and where a change is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.bisect.answer import PackageVersion, compare_link
from fixtures.bisect.probe_record import Criterion, ProbeOutcome, ProbeRecord, classify, probe_record
from fixtures.bisect.question import BadQuestion, moved, parser, question, with_ends
from fixtures.bisect.trials import BAD, GAP, GOOD, UNSURE
from fixtures.gates.base import Quantity
from fixtures.gates.verdict import Cause, Check, Verdict, against, errored, settle, skipped
from fixtures.results.records import GateRecord

CASE = "flux1-dev/nvfp4-tiny-bs1-eager"


def seen(*checks: Check, quantities: tuple[Quantity, ...] = ()) -> ProbeRecord:
    """A probe whose gate left a record of these checks."""
    judgement = settle(checks)
    return probe_record(
        GateRecord(
            schema=2,
            run="r",
            case=CASE,
            gate="velocity",
            verdict=judgement.verdict,
            arithmetic="emulated",
            message=judgement.message,
            checks=list(checks),
            quantities=list(quantities),
            reproduce=[],
        )
    )


PASS, FAIL = against("sqnr", 13.0, floor=12.0), against("sqnr", 9.5, floor=12.0)


def test_red_for_another_reason_is_a_gap() -> None:
    rule = Criterion(kind="verdict", good=seen(PASS), bad=seen(FAIL))
    assert classify(seen(FAIL), rule)[0] is BAD
    assert classify(seen(PASS), rule)[0] is GOOD
    assert classify(seen(against("controls", 1.0, floor=2.0)), rule)[0] is GAP
    assert classify(seen(FAIL.model_copy(update={"verdict": Verdict.UNSURE})), rule)[0] is UNSURE
    assert classify(seen(skipped("sqnr", "not here")), rule)[0] is GAP
    assert classify(ProbeRecord(outcome=ProbeOutcome.HUNG, message="m"), rule)[0] is GAP


def test_gate_that_breaks_off_is_bad_where_the_bad_end_breaks_off_alike() -> None:
    def broken(what: str, cause: Cause = Cause.BROKE_OFF, said: str = "") -> ProbeRecord:
        return seen(errored("round_trip", f"{what}: type <X> at {said}", cause=cause, what=what))

    rule = Criterion(kind="verdict", good=seen(PASS), bad=broken("ValueError", said="0x7f12"))
    assert classify(broken("ValueError", said="0x99ab"), rule)[0] is BAD
    assert classify(broken("TypeError"), rule)[0] is GAP
    module = broken("torchao.dtypes", Cause.IMPORT_FAILED)
    assert (module.outcome, broken("ValueError").outcome) == (ProbeOutcome.NOT_IMPORTED, ProbeOutcome.NOT_BUILT)
    imported = Criterion(kind="import", bad=module)
    assert classify(broken("torchao.dtypes", Cause.IMPORT_FAILED, "another place"), imported)[0] is BAD
    assert classify(broken("diffusers", Cause.IMPORT_FAILED), imported)[0] is GAP
    assert classify(seen(FAIL), imported)[0] is GOOD


def test_margin_is_measured_in_the_direction_of_the_bound_or_of_the_quantity() -> None:
    def velocity(worst: float) -> ProbeRecord:
        return seen(PASS, quantities=(Quantity(name="worst step, dB", value=worst, higher_is_better=True),))

    rule = Criterion(kind="margin", margin=0.1, good=velocity(12.0))
    assert classify(velocity(11.95), rule)[0] is GOOD
    assert classify(velocity(11.8), rule) == (BAD, "worst step, dB worse by 0.2")
    assert classify(velocity(13.0), rule)[0] is GOOD
    good, worse = (seen(against("lpips", value, ceiling=0.5)) for value in (0.3, 0.45))
    assert classify(worse, Criterion(kind="margin", margin=0.1, good=good))[0] is BAD
    assert classify(worse, Criterion(kind="margin", margin=0.2, good=good))[0] is GOOD


def test_baseline_tells_the_good_end() -> None:
    then = {"torch": "2.13.0+cpu", "torchao": "0.18.0", "accelerate": "1.0", "torchvision": "0.28", "python": "3.11.7"}
    now = {"torch": "2.14.1+cu130", "torchao": "0.18.0", "accelerate": "1.1", "torchvision": "0.29", "python": "3.12.1"}
    assert moved(then, now) == ({"torch": "2.13.0", "accelerate": "1.0"}, {"torch": "2.14.1", "accelerate": "1.1"})
    asked = question(parser().parse_args(["--case", CASE, "--gate", "velocity"]))
    with pytest.raises(BadQuestion, match="no end was given and no baseline tells a good one"):
        with_ends(asked, baselines=Path("nowhere"), machine="cpu", now=now)


@pytest.mark.parametrize(
    ("package", "good", "bad", "link"),
    [
        ("torchao", ("0.16.0", ""), ("0.17.0", ""), "pytorch/ao/compare/v0.16.0...v0.17.0"),
        ("torchao", ("0.17.0", ""), ("0.16.0", ""), "pytorch/ao/compare/v0.16.0...v0.17.0"),
        ("torch", ("2.13.0", "a"), ("2.14.1", "b"), "pytorch/pytorch/compare/a...b"),
        ("torchao", ("0.19.0.dev20261001", ""), ("0.19.0.dev20261002", ""), ""),
    ],
)
def test_compare_link_leads_from_the_older_to_the_newer(
    package: str, good: tuple[str, str], bad: tuple[str, str], link: str
) -> None:
    """Nightlies without commits have none."""
    sides = (PackageVersion(version=version, git=git) for version, git in (good, bad))
    assert compare_link(package, *sides) == (f"https://github.com/{link}" if link else "")
