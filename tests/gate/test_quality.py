"""Pictures stay close to the same run's bf16 pictures, and the ceilings tell healthy pictures from broken ones."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.quality import GATE
from fixtures.run.plugin import Run


def test_pictures_stay_close_to_bf16(case: Case, run: Run) -> None:
    """LPIPS per prompt, mean and worst; one generator a prompt; of videos every frame, flicker and sound."""
    run.conclude(GATE, case)
