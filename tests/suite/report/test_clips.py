"""A video's file plays: frames, rate and sound are what went in."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from fixtures.gates.shown import Clip
from fixtures.report.clips import save_clip
from fixtures.report.embed import embed_clip
from fixtures.results.run import ResultsUnwritable


def clip(**changed: object) -> Clip:
    """Five frames whose brightness rises, and a fifth of a second of a tone."""
    frames = np.broadcast_to(np.linspace(0.1, 0.9, 5)[:, None, None, None], (5, 63, 65, 3)).astype(np.float32)
    tone = np.sin(np.arange(3200) / 16_000 * 2 * np.pi * 440).astype(np.float32)
    parts: dict[str, object] = {
        "frames": frames,
        "frame_rate": 24.0,
        "sound": np.stack([tone, tone / 4]),
        "sound_rate": 16_000,
    }
    return Clip(**{**parts, **changed})  # type: ignore[arg-type]


def test_frames_and_sound_come_back(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "clip.mp4"
    save_clip(path, clip())
    with av.open(str(path)) as file:
        assert float(file.streams.video[0].average_rate or 0) == pytest.approx(24.0)
        levels = [frame.to_ndarray(format="rgb24").mean() / 255 for frame in file.decode(video=0)]
    with av.open(str(path)) as file:
        heard = np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1)
    assert levels == pytest.approx(np.linspace(0.1, 0.9, 5), abs=0.02)
    left, right = (float(np.sqrt(np.mean(channel**2))) for channel in heard)
    assert left == pytest.approx(4 * right, rel=0.15)


def test_a_video_without_sound_and_with_what_is_no_number_is_written(tmp_path: Path) -> None:
    broken = np.full((3, 64, 64, 3), np.nan, dtype=np.float32)
    save_clip(tmp_path / "clip.mp4", clip(frames=broken, sound=None))
    with av.open(str(tmp_path / "clip.mp4")) as file:
        assert not file.streams.audio
        assert len(list(file.decode(video=0))) == 3


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsUnwritable, match=r"clip\.mp4"):
        save_clip(tmp_path / "file" / "clip.mp4", clip())


def test_the_page_holds_a_clip_and_nothing_from_outside_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    save_clip(run / "clip.mp4", clip())
    save_clip(tmp_path / "other.mp4", clip())
    assert (embed_clip(run, "clip.mp4") or "").startswith("data:video/mp4;base64,")
    assert embed_clip(run, "../other.mp4") is None
    assert embed_clip(run, "missing.mp4") is None
    assert embed_clip(run, None) is None
