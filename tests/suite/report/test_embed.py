"""A picture that is too large for the page is made smaller once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.report import embed


def test_a_large_picture_is_made_smaller_once_and_a_folder_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (512, 512, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    made: list[int] = []
    smaller = embed._smaller

    def counted(image: Image.Image, side: int) -> bytes:
        made.append(side)
        return smaller(image, side)

    monkeypatch.setattr(embed, "_smaller", counted)
    first, second = embed.embed(tmp_path, "a.png"), embed.embed(tmp_path, "a.png")
    assert first is not None
    assert first == second
    assert first.uri.startswith("data:image/webp;base64,")
    assert made == [448]

    def refused(path: Path, data: bytes) -> None:
        raise OSError("read-only")

    monkeypatch.setattr(embed, "write_atomic", refused)
    next(tmp_path.glob("*.webp")).unlink()
    assert embed.embed(tmp_path, "a.png") == first
    assert made == [448, 448]
