"""Whole blocks compile, once, and compute what eager computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.gates.counts import judge_compilation


@pytest.mark.gate("compile")
def test_blocks_compile_whole_and_once(case: Case, lab: Any, conclude: Callable[..., None]) -> None:
    """`compile_repeated_blocks(fullgraph=True)`; the CPU's backend is aot_eager, a GPU's is inductor."""
    from fixtures.gates.compile.graphs import compile_steps, measure_compilation

    subject, trajectory = lab.subject(case), lab.trajectory(case)
    steps = compile_steps(trajectory[0])
    if case.checkpoint == "tiny":
        # A late step, or another prompt, must not compile anew either.
        steps = [*trajectory[0], *(step for call in trajectory[1:2] for step in call[: len(steps)])]
    backend = "aot_eager" if lab.workshop.device == "cpu" else "inductor"
    with lab.spending("compile"):
        compiled = measure_compilation(subject, steps, backend=backend)
    conclude(
        judge_compilation(
            error=compiled.error,
            graph_breaks=compiled.graph_breaks,
            graphs=compiled.graphs,
            block_classes=compiled.block_classes,
            recompiles=compiled.recompiles,
            sqnr_db=compiled.sqnr_db,
            floor=lab.limit(case, "compile", "compiled against eager"),
            backend=backend,
        ),
        details=asdict(compiled),
    )
