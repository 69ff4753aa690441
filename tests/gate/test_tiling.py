"""An autoencoder joins tiles to the picture that it would have decoded whole."""

from __future__ import annotations

from fixtures.catalog.schema import Case
from fixtures.gates.tiling import GATE
from fixtures.run.plugin import Run


def test_tiles_join_to_the_whole_picture(case: Case, run: Run) -> None:
    """Cut, blended and joined by the autoencoder itself, with a decoder that looks at one place at a time."""
    run.conclude(GATE, case)
