"""The bytes saved equal parameters x (2 - bits/8), padding included; the peak stays below its ceiling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.gates.counts import (
    judge_allocated_bytes,
    judge_exactly_saved_bytes,
    judge_leaks,
    judge_saved_bytes,
)
from fixtures.gates.verdict import against_limit


@pytest.mark.gate("memory")
def test_quantization_saves_the_bytes_that_the_format_promises(
    case: Case, lab: Any, conclude: Callable[..., None]
) -> None:
    """No baseline is needed: the oracle is arithmetic over shapes."""
    import torch

    from fixtures.gates.memory.bytes import expected_saved_bytes, peak_bytes, storage_bytes, stored_bytes
    from fixtures.pipelines.architecture import selected
    from fixtures.results.sections import Memory

    model, fmt = lab.model(case), lab.format(case)
    if case.checkpoint == "meta":
        full = lab.quantized_on_meta(case)
        saved = storage_bytes(full.plain) - storage_bytes(full.quantized)
        formula = round(model.quantized_parameters * (2 - fmt.bits / 8))
        conclude([judge_saved_bytes(saved=saved, expected=formula)], details={"saved_bytes": saved})
        return
    subject, reference = lab.subject(case), lab.reference(case)
    shapes = selected(reference.denoiser, model.selection_for(case.checkpoint))
    expected = expected_saved_bytes(shapes, fmt)
    both, own = torch.nn.ModuleList([reference.denoiser, subject.denoiser]), storage_bytes(subject.denoiser)
    saved = storage_bytes(reference.denoiser) - own
    checks = [judge_exactly_saved_bytes(saved=saved, expected=expected, linears=len(shapes))]
    if subject.allocated_bytes is not None:
        wanted = sum(stored_bytes(shape, fmt) for shape in shapes)
        checks.append(judge_allocated_bytes(allocated=subject.allocated_bytes, expected=wanted))
    if case.checkpoint == "tiny" and case.batch_size == 1:
        beside, kept = lab.leaks(case)
        checks += judge_leaks(beside=beside, kept=kept)
    peak = None
    if lab.workshop.device != "cpu":
        lab.observation(case)  # the first call compiles, which takes memory of its own
        peak = peak_bytes(lambda: lab.draw_again(case), lab.workshop.device)
    if peak is not None:
        # What only bf16 needs stays on the GPU as the reference; a user of the format alone would not hold it.
        peak -= storage_bytes(both) - own
        limit = lab.limit(case, "memory", "peak")
        checks += [against_limit(peak / 1e9, limit)] if limit else []
    conclude(
        checks,
        details={
            "saved_bytes": saved,
            "expected_bytes": expected,
            "allocated_bytes": subject.allocated_bytes,
            "peak_bytes": peak,
        },
    )
    lab.contribute(case, "memory", lambda: Memory(saved_bytes=saved, peak_bytes=peak))
