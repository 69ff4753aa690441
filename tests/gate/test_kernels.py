"""The quantized matmul ran for every quantized Linear in every denoiser call: no silent bf16 fallback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.gates.counts import judge_matmuls
from fixtures.gates.kernels.names import judge_graph_replays, judge_native_kernels


@pytest.mark.gate("kernels")
def test_every_quantized_linear_ran_its_own_matmul(
    case: Case, lab: Any, gate_run: Any, conclude: Callable[..., None]
) -> None:
    """Counted where the product is made: in the reference tensor core, or by the profiler on native hardware, where
    kernel names and CUDA graph replays are the evidence (`fixtures/catalog/kernels.py`)."""
    from fixtures.gates.kernels.profile import matmuls_of_one_call
    from fixtures.pipelines.compiling import repeated_blocks

    subject, observed = lab.subject(case), lab.observation(case)
    kind, linears = str(subject.format.matmul), len(subject.linears)
    checks = []
    if subject.arithmetic == "emulated":
        matmuls, calls = dict(observed.matmuls), sum(observed.calls)
        details: dict[str, Any] = {"matmuls": matmuls}
    else:
        with lab.spending("measure"):
            matmuls, seen = matmuls_of_one_call(subject, lab.trajectory(case)[0][0], trace=gate_run.trace_file())
        calls = 1
        details = {"matmuls": matmuls, "kernels": seen.kernels, "graph launches": seen.graph_launches}
        if lab.workshop.device != "cpu":
            checks += judge_native_kernels(kernels=seen.kernels, kind=kind, linears=linears)
        if lab.workshop.device != "cpu" and subject.compile_mode == "reduce-overhead":
            blocks = len(repeated_blocks(subject.denoiser))
            checks.append(judge_graph_replays(launches=seen.graph_launches, blocks=blocks))
    counts = judge_matmuls(
        matmuls=matmuls, kind=kind, linears=linears, denoiser_calls=calls, arithmetic=subject.arithmetic
    )
    conclude([*counts, *checks], details=details)
