"""The quantized matmul ran for every quantized Linear in every denoiser call: no silent bf16 fallback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.judge.counts import judge_matmuls


@pytest.mark.gate("kernels")
def test_every_quantized_linear_ran_its_own_matmul(case: Case, lab: Any, conclude: Callable[..., None]) -> None:
    """Counted where the product is made: in the reference tensor core, or by the profiler on native hardware."""
    from fixtures.measure.kernels import matmuls_of_one_call

    subject, observed = lab.subject(case), lab.observation(case)
    if subject.arithmetic == "emulated":
        matmuls, calls = dict(observed.matmuls), sum(observed.calls)
        details: dict[str, Any] = {"matmuls": matmuls}
    else:
        with lab.spending("measure"):
            matmuls, kernels = matmuls_of_one_call(subject, lab.trajectory(case)[0][0])
        calls, details = 1, {"matmuls": matmuls, "kernels": kernels}
    conclude(
        judge_matmuls(
            matmuls=matmuls,
            kind=str(subject.format.matmul),
            linears=len(subject.linears),
            denoiser_calls=calls,
            arithmetic=subject.arithmetic,
        ),
        details=details,
    )
