"""Exactly the intended Linears were quantized, to the intended tensor class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.gates.counts import judge_manifest, judge_rest, judge_stored_manifest
from fixtures.gates.verdict import equals


@pytest.mark.gate("manifest")
def test_exactly_the_selected_linears_are_quantized(case: Case, lab: Any, conclude: Callable[..., None]) -> None:
    """Names against the selection and against the baseline; on the meta device against the published counts."""
    from fixtures.pipelines.quantize import changed_beside, wanted_linears
    from fixtures.results.sections import Manifest

    model, kind = lab.model(case), str(lab.format(case).tensor_class)
    if case.checkpoint == "meta":
        full = lab.quantized_on_meta(case)
        checks = judge_manifest(
            wanted=wanted_linears(full.plain, model.selection),
            found={linear.name: linear.tensor_class for linear in full.linears},
            tensor_class=kind,
            declared=model.quantized_linears,
        )
        parameters = sum(linear.shape[0] * linear.shape[1] for linear in full.linears)
        checks.append(equals("quantized parameters", parameters, model.quantized_parameters, source="catalog"))
        conclude(checks, details={"linears": [linear.name for linear in full.linears], "tensor_class": kind})
        return
    subject, reference = lab.subject(case), lab.reference(case)
    found = {linear.name: linear.tensor_class for linear in subject.linears}
    wanted = wanted_linears(reference.denoiser, model.selection_for(case.checkpoint))
    declared = model.quantized_linears if case.checkpoint != "tiny" else None
    checks = judge_manifest(wanted=wanted, found=found, tensor_class=kind, declared=declared)
    checks.append(judge_rest(changed=changed_beside(reference.denoiser, subject.denoiser, found)))
    checks += lab.against_baseline(
        case,
        "manifest",
        "Linears as in the baseline",
        lambda stored: judge_stored_manifest(found=found, stored=stored.linears, tensor_class=stored.tensor_class),
    )
    conclude(checks, details={"linears": sorted(found), "tensor_class": kind})
    lab.contribute(case, "manifest", lambda: Manifest(tensor_class=kind, linears=sorted(found)))
