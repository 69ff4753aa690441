"""The bytes saved equal parameters x (2 - bits/8), padding included; the peak stays below its ceiling."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.memory import GATE
from fixtures.run.plugin import Run


def test_quantization_saves_the_bytes_that_the_format_promises(case: Case, run: Run) -> None:
    """No baseline is needed: the oracle is arithmetic over shapes."""
    run.conclude(GATE, case)
