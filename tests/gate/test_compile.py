"""Whole blocks compile, once, and compute what eager computes."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.compile import GATE
from fixtures.run.plugin import Run


def test_blocks_compile_whole_and_once(case: Case, run: Run) -> None:
    """`compile_repeated_blocks(fullgraph=True)`; the CPU's backend is aot_eager, a GPU's is inductor."""
    run.conclude(GATE, case)
