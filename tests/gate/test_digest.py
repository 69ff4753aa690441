"""Says whether numerics moved at all since the baseline. Not red by itself; the most sensitive property to bisect."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.digest import GATE
from fixtures.run.plugin import Run


def test_numerics_are_compared_with_the_baseline(case: Case, run: Run) -> None:
    """A hash of every denoiser output's bytes; comparable on the same CPU model only."""
    run.conclude(GATE, case)
