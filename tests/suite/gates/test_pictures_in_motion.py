"""What LPIPS cannot see of a video: flicker from frame to frame, and its sound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.gates.pictures.motion import DIMMED, flicker, flickering
from fixtures.gates.pictures.sound import BANDS, RANGE_DB, WINDOWS, broken_sounds, coarse_levels, spectral_distance

RATE = 16_000
TIME = np.arange(RATE // 2) / RATE


def tone(hertz: float, loudness: float = 0.4) -> np.ndarray:
    """Half a second of stereo [2, samples]."""
    return np.stack([loudness * np.sin(2 * np.pi * hertz * TIME)] * 2).astype(np.float32)


def video(seed: int = 0, frames: int = 9, side: int = 15) -> np.ndarray:
    """A video [frames, side, side, 3] whose brightness drifts slowly."""
    still = np.random.default_rng(seed).uniform(0.3, 0.7, (side, side, 3))
    drift = np.linspace(0, 0.1, frames)[:, None, None, None]
    return (still + drift).astype(np.float32)


@given(shift=st.floats(-0.2, 0.2))
def test_an_error_that_stays_is_no_flicker(shift: float) -> None:
    assert max(flicker(video(), video() + np.float32(shift))) == pytest.approx(0.0, abs=1e-4)


@given(size=st.floats(0.01, 0.2), place=st.integers(1, 7))
def test_one_frame_that_jumps_is_seen_twice_at_its_size(size: float, place: int) -> None:
    broken = video()
    broken[place] += np.float32(size)
    found = flicker(video(), broken)
    assert [index for index, value in enumerate(found) if value > 50 * size] == [place - 1, place]
    assert max(found) == pytest.approx(100 * size, rel=1e-3)


def test_the_control_flickers_at_every_frame() -> None:
    videos = np.stack([video(0), video(1)])
    assert min(flicker(videos[0], flickering(videos)[0])) > 100 * (1 - DIMMED) * 0.4


def test_videos_of_different_shapes_and_single_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="have no frames to follow one another"):
        flicker(video(frames=1), video(frames=1))
    with pytest.raises(ValueError, match="have no frames"):
        flicker(video(), video(frames=8))


def test_equal_sounds_are_at_no_distance() -> None:
    assert spectral_distance(tone(440), tone(440), rate=RATE) == 0.0


@given(decibels=st.floats(-20, -1))
def test_a_quieter_sound_is_off_by_its_level_where_it_can_be_heard(decibels: float) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, RATE // 2)).astype(np.float32)
    quieter = (noise * 10 ** (decibels / 20)).astype(np.float32)
    assert spectral_distance(noise, quieter, rate=RATE) == pytest.approx(-decibels, rel=0.05)


def test_another_pitch_silence_and_noise_are_far() -> None:
    sounds = np.stack([tone(440), tone(660)])
    for name, broken in broken_sounds(sounds, seed=0).items():
        assert spectral_distance(sounds[0], broken[0], rate=RATE) > 3.0, name


def test_a_sound_that_is_no_number_is_no_distance_and_a_silent_reference_is_refused() -> None:
    broken = np.full_like(tone(440), np.nan)
    assert np.isnan(spectral_distance(tone(440), broken, rate=RATE))
    with pytest.raises(ValueError, match="silent"):
        spectral_distance(np.zeros_like(tone(440)), tone(440), rate=RATE)
    with pytest.raises(ValueError, match="different shapes"):
        spectral_distance(tone(440), tone(440)[:, 1:], rate=RATE)


def test_coarse_levels_tell_where_and_how_loud_and_hold_what_is_silent() -> None:
    levels = np.reshape(coarse_levels(tone(RATE / 2 / BANDS * 3.5), rate=RATE), (3, WINDOWS, BANDS))
    assert set(levels.argmax(axis=2).ravel()) == {3}
    assert coarse_levels(np.zeros_like(tone(1)), rate=RATE) == [-RANGE_DB] * (3 * WINDOWS * BANDS)
    one_inverted = tone(440) * np.array([[1], [-1]], dtype=np.float32)
    sums = [np.reshape(coarse_levels(sound, rate=RATE), (3, WINDOWS, BANDS)) for sound in (tone(440), one_inverted)]
    assert (sums[0][:2] == sums[1][:2]).all()
    assert sums[0][2].max() > sums[1][2].max() == -RANGE_DB
    with pytest.raises(ValueError, match="not a number"):
        coarse_levels(np.full_like(tone(440), np.nan), rate=RATE)
