"""The same seed gives the same picture, again in this process and in a new one."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.determinism import GATE
from fixtures.run.plugin import Run


def test_same_seed_gives_same_picture(case: Case, run: Run) -> None:
    """Hashes of every denoiser output of the first pipeline call; the new process is the suite itself."""
    run.conclude(GATE, case)
