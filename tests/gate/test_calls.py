"""The pipeline calls the denoiser as often as declared: catches changed pipeline and scheduler defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.gates.counts import judge_calls


@pytest.mark.gate("calls")
def test_denoiser_is_called_as_declared(case: Case, lab: Any, conclude: Callable[..., None]) -> None:
    """Counted at the denoiser during the run over all prompts."""
    calls = lab.observation(case).calls
    declared = lab.model(case).sampling(case.checkpoint).denoiser_calls
    conclude(judge_calls(calls=calls, declared=declared), details={"calls": calls})
