"""The intended attention backend ran: a fall-back slows every format alike, so no speedup shows it."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.attention import GATE
from fixtures.run.plugin import Run


def test_attention_took_its_fastest_backend(case: Case, run: Run) -> None:
    """By kernel name on a GPU, by operator on a CPU."""
    run.conclude(GATE, case)
