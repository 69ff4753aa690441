"""The quantized matmul ran for every quantized Linear in every denoiser call: no silent bf16 fallback."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.kernels import GATE
from fixtures.run.plugin import Run


def test_every_quantized_linear_ran_its_own_matmul(case: Case, run: Run) -> None:
    """Counted in the reference tensor core, or by the profiler on native hardware."""
    run.conclude(GATE, case)
