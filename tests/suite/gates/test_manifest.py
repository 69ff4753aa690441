"""The manifest: only the intended Linears, all of them, of the intended class, and nothing else changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from fixtures.catalog.limits import Limits
from fixtures.gates.base import conclude
from fixtures.gates.manifest import GATE, ManifestKept, ManifestResult
from fixtures.gates.verdict import Check, Judgement, Verdict, settle
from tests.suite.contexts import RECORDING, Stored, context, tiny

names = st.sets(st.text("ab.", min_size=1, max_size=4), max_size=6)


def judged(
    *,
    wanted: set[str],
    found: Mapping[str, str],
    kind: str = "T",
    declared: int | None = None,
    changed: Sequence[str] = (),
    stored: ManifestKept | None = None,
) -> Judgement:
    """What the gate says; without a stored manifest as while one is recorded."""
    now = ManifestResult(
        tensor_class=kind, selected=sorted(wanted), linears=dict(found), declared=declared, changed=list(changed)
    )
    return settle(GATE.judge(now, Limits(), stored or RECORDING.missing))


def notes(judgement: Judgement) -> dict[str, str]:
    return {check.name: check.note for check in judgement.checks}


@given(wanted=names, found=names)
def test_only_equal_sets_pass_and_the_difference_is_named(wanted: set[str], found: set[str]) -> None:
    judgement = judged(wanted=wanted, found=dict.fromkeys(found, "T"))
    assert judgement.verdict is (Verdict.PASS if wanted == found and wanted else Verdict.FAIL)
    said = notes(judgement)
    for label, group in (("not quantized", wanted - found), ("quantized against the selection", found - wanted)):
        assert (label in said) == bool(group)
        assert all(name in said[label] for name in sorted(group)[:3])


@given(wanted=names, odd=st.integers(0, 5))
def test_one_other_tensor_class_fails(wanted: set[str], odd: int) -> None:
    assume(wanted)
    name = sorted(wanted)[odd % len(wanted)]
    judgement = judged(
        wanted=wanted, found={**dict.fromkeys(wanted, "NVFP4Tensor"), name: "Float8Tensor"}, kind="NVFP4Tensor"
    )
    assert judgement.verdict is Verdict.FAIL
    assert f"NVFP4Tensor expected, Float8Tensor found: {name}" in judgement.message


@given(wanted=names, declared=st.integers(0, 8))
def test_a_selection_that_takes_another_number_than_the_catalog_says_fails(wanted: set[str], declared: int) -> None:
    judgement = judged(wanted=wanted, found=dict.fromkeys(wanted, "T"), declared=declared)
    assert (judgement.verdict is Verdict.PASS) == (declared == len(wanted) > 0)


@given(stored=names, found=names)
def test_a_stored_manifest_passes_only_when_the_names_are_the_same(stored: set[str], found: set[str]) -> None:
    assume(stored and found)
    kept = ManifestKept(tensor_class="T", linears=sorted(stored))
    judgement = judged(wanted=found, found=dict.fromkeys(found, "T"), stored=kept)
    assert (judgement.verdict is Verdict.PASS) == (stored == found)


def test_a_stored_manifest_of_another_class_fails() -> None:
    kept = ManifestKept(tensor_class="NVFP4Tensor", linears=["a"])
    judgement = judged(wanted={"a"}, found={"a": "MXTensor"}, kind="MXTensor", stored=kept)
    assert notes(judgement)["tensor class"] == "the baseline holds NVFP4Tensor, now ['MXTensor']"


def test_a_stored_manifest_lists_each_linear_once() -> None:
    with pytest.raises(ValidationError, match="listed twice"):
        ManifestKept(tensor_class="T", linears=["a", "a"])


def test_a_parameter_that_changed_beside_the_weights_is_named() -> None:
    judgement = judged(wanted={"a"}, found={"a": "T"}, changed=["norm.weight", "a.bias"])
    assert judgement.verdict is Verdict.FAIL
    assert "a.bias, norm.weight" in judgement.message


def test_a_tiny_pipeline_is_compared_with_its_own_baseline() -> None:
    kept = conclude(GATE, context(tiny(), recording=True)).kept
    assert kept is not None
    assert conclude(GATE, context(tiny(), baselines=Stored(sections={"manifest": kept}))).judgement.verdict == "pass"
    shorter = kept.model_copy(update={"linears": kept.linears[1:]})
    told = conclude(GATE, context(tiny(), baselines=Stored(sections={"manifest": shorter}))).judgement
    assert f"quantized now and not in the baseline: {kept.linears[0]}" in told.message
    missing: Check = conclude(GATE, context(tiny())).judgement.checks[-1]
    assert (missing.name, missing.verdict) == ("Linears as in the baseline", Verdict.FAIL)


def test_the_published_architecture_has_the_published_counts_and_needs_no_baseline() -> None:
    found = conclude(GATE, context(tiny(checkpoint="meta")))
    assert found.judgement.verdict is Verdict.PASS
    assert {check.name for check in found.judgement.checks} >= {"selected Linears", "quantized parameters"}
    assert GATE.keep(found.result) is None
