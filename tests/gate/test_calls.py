"""The pipeline calls the denoiser as often as declared: catches changed pipeline and scheduler defaults."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.calls import GATE
from fixtures.run.plugin import Run


def test_denoiser_is_called_as_declared(case: Case, run: Run) -> None:
    """Counted at the denoiser during the run over all prompts."""
    run.conclude(GATE, case)
