"""Exactly the intended Linears were quantized, to the intended tensor class."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.manifest import GATE
from fixtures.run.plugin import Run


def test_exactly_the_selected_linears_are_quantized(case: Case, run: Run) -> None:
    """Names against the selection and against the baseline; on the meta device against the published counts."""
    run.conclude(GATE, case)
