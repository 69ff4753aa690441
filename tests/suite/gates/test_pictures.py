"""The picture metrics measure what they say, and the broken pictures that prove ceilings are broken."""

from __future__ import annotations

import functools
import math
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from fixtures.gates.pictures.compare import controls, share_unlike, shows_something
from fixtures.gates.pictures.images import as_stored, from_image, to_image
from fixtures.gates.pictures.metric import Lpips, MetricUnavailable, load_metric, trunk_at_hand
from fixtures.gates.shown import PictureMetric, Pictures
from fixtures.gates.verdict import Cause
from fixtures.report.pictures import heat_image

KNOWN = Path(__file__).resolve().parents[4] / "shared" / "lpips-reference"
"""The example pictures of LPIPS' authors, where somebody has put them beside the repository."""
DISTANCES: dict[str, tuple[float, float]] = {"lpips-alex": (0.7219, 0.1376), "st-lpips-alex": (0.7778, 0.1320)}
"""Metric -> distances of the authors' reference picture to their p0 and p1; LPIPS' are 0.722 and 0.138 in their issue
120, the others were measured with stlpips-pytorch 0.0.2."""


@functools.cache
def metric(name: str) -> PictureMetric:
    """The metric, or a skip where this machine cannot have it."""
    if name == "lpips-alex" and not trunk_at_hand():
        pytest.skip("AlexNet's trunk is not in TORCH_HOME, and a test downloads nothing")
    return load_metric(name)


def picture(seed: int = 0, size: int = 64) -> Pictures:
    """A smooth picture [size, size, 3] in 0..1: a few waves."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : size * 1j, 0 : 1 : size * 1j]
    waves = [np.sin(7 * random.random() * x + 9 * random.random() * y + 6 * random.random()) for _ in range(3)]
    return (np.stack(waves, axis=-1) / 2 + 0.5).astype(np.float32)


def noisy(reference: Pictures, amount: float) -> Pictures:
    """The picture with noise of that standard deviation."""
    noise = np.random.default_rng(1).normal(0, amount, reference.shape)
    return np.clip(reference + noise, 0, 1).astype(np.float32)


@pytest.mark.parametrize("name", DISTANCES)
def test_known_distances(name: str) -> None:
    if not KNOWN.is_dir():
        pytest.skip(f"the authors' example pictures are not in ../shared/{KNOWN.name} beside the repository")
    reference, *others = (from_image(KNOWN / f"ex_{which}.png") for which in ("ref", "p0", "p1"))
    for other, distance in zip(others, DISTANCES[name], strict=True):
        assert metric(name).distance(reference, other).value == pytest.approx(distance, abs=1e-3)


@pytest.mark.parametrize("name", DISTANCES)
def test_a_picture_is_no_distance_from_itself_and_further_the_noisier(name: str) -> None:
    found = [metric(name).distance(picture(), noisy(picture(), amount)) for amount in (0.0, 0.02, 0.1, 0.4)]
    assert found[0].value == 0.0
    assert [one.value for one in found] == sorted(one.value for one in found)
    assert found[1].value > 0
    assert found[-1].value > 0.3


@pytest.mark.parametrize("name", DISTANCES)
def test_the_heat_map_lies_where_the_pictures_differ_and_its_mean_is_the_distance(name: str) -> None:
    changed = picture().copy()
    changed[:32, :32] = 1 - changed[:32, :32]
    found = metric(name).distance(picture(), changed)
    assert found.heat_map.shape == (64, 64)
    assert found.value == pytest.approx(float(found.heat_map.mean()), rel=1e-5)
    assert found.heat_map[:32, :32].mean() > 2 * found.heat_map[40:, 40:].mean()


@pytest.mark.parametrize("name", DISTANCES)
def test_a_picture_with_a_number_that_is_none_has_no_distance(name: str) -> None:
    broken = picture().copy()
    broken[5, 5, 0] = np.nan
    assert math.isnan(metric(name).distance(picture(), broken).value)


def test_pictures_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pictures of different sizes: \(64, 64, 3\) and \(32, 32, 3\)"):
        metric("st-lpips-alex").distance(picture(), picture(size=32))


# ---- which metric --------------------------------------------------------------------------------------------------


@pytest.fixture
def without_trunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose TORCH_HOME is empty and which reaches no download site."""

    def unreachable(*_: Any, **__: Any) -> NoReturn:
        raise OSError("[Errno -2] Name or service not known")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", unreachable)


@pytest.mark.usefixtures("without_trunk")
def test_without_a_trunk_the_metric_is_the_one_that_carries_its_own() -> None:
    assert not trunk_at_hand()
    assert load_metric("auto").name == "st-lpips-alex"


@pytest.mark.usefixtures("without_trunk")
def test_a_metric_that_was_named_and_cannot_be_had_is_one_sentence() -> None:
    with pytest.raises(MetricUnavailable) as caught:
        load_metric("lpips-alex")
    assert caught.value.cause is Cause.MISSING_DEPENDENCY
    text = str(caught.value)
    assert "alexnet-owt-7be5be79.pth" in text
    assert "set TORCH_HOME to a folder that has it, or use --metric st-lpips-alex" in text
    assert "\n" not in text


@pytest.mark.usefixtures("without_trunk")
def test_without_either_metric_the_sentence_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stlpips_pytorch.stlpips", None)
    with pytest.raises(MetricUnavailable, match="needs the package stlpips-pytorch"):
        load_metric("auto")


def test_with_a_trunk_the_metric_is_lpips() -> None:
    if not trunk_at_hand():
        pytest.skip("AlexNet's trunk is not in TORCH_HOME, and a test downloads nothing")
    assert load_metric("auto").name == "lpips-alex"


# ---- broken pictures -----------------------------------------------------------------------------------------------


def test_controls_are_broken_in_three_ways_and_the_same_in_every_run() -> None:
    pictures = np.stack([picture(seed) for seed in range(3)])
    found = controls(pictures, seed=7)
    assert set(found) == {"other_prompt", "black", "noise"}
    assert all(broken.shape == pictures.shape for broken in found.values())
    assert np.array_equal(found["other_prompt"][0], pictures[2])
    assert not found["black"].any()
    assert np.array_equal(found["noise"], controls(pictures, seed=7)["noise"])
    for broken in found.values():
        for one, other in zip(pictures, broken, strict=True):
            assert metric("st-lpips-alex").distance(one, other).value > 0.2


@pytest.mark.parametrize(
    ("broken", "shows"),
    [
        (picture(), True),
        (np.stack([picture(0), picture(1)]), True),
        (np.zeros((8, 8, 3), dtype=np.float32), False),
        (np.full((8, 8, 3), 0.5, dtype=np.float32), False),
        (np.where(np.arange(192).reshape(8, 8, 3) == 7, np.nan, 0.5).astype(np.float32), False),
    ],
    ids=["picture", "video", "black", "grey", "nan"],
)
def test_a_picture_shows_something_when_it_has_tones_and_only_numbers(broken: Pictures, shows: bool) -> None:
    assert shows_something(broken) is shows


# ---- pictures on the disk ------------------------------------------------------------------------------------------


def test_what_comes_back_from_the_disk_is_what_as_stored_says(tmp_path: Path) -> None:
    pictures = np.stack([picture(0), noisy(picture(1), 0.3)])
    for index, one in enumerate(pictures):
        to_image(one).save(tmp_path / f"{index}.png")
    back = np.stack([from_image(tmp_path / f"{index}.png") for index in range(2)])
    assert np.array_equal(back, as_stored(pictures))
    assert np.abs(back - pictures).max() <= 0.5 / 255 + 1e-6
    assert np.array_equal(as_stored(back), back)


def test_a_video_is_stored_as_a_contact_sheet(tmp_path: Path) -> None:
    video = np.stack([picture(seed, size=16) for seed in range(9)])[None]
    assert as_stored(video).shape == (1, 16, 6 * 16, 3)


def test_what_is_no_number_is_drawn_and_not_raised() -> None:
    broken = np.full((4, 4, 3), np.nan, dtype=np.float32)
    assert np.asarray(to_image(broken)).max() == 0
    distance = metric("st-lpips-alex").distance(picture(), np.full_like(picture(), np.nan))
    assert heat_image([distance], 1.0).size == (64, 64)


def test_one_8_bit_value_of_many_is_a_share() -> None:
    """Less than half a step is none, and another size is all."""
    one = np.full((10, 10, 3), 100 / 255, dtype=np.float32)
    other = one.copy()
    other[4, 5, 1] += 1 / 255
    other[6, 5, 1] += 0.4 / 255
    assert share_unlike(one, one) == 0
    assert share_unlike(one, other) == pytest.approx(100 / 300)
    assert share_unlike(one, other[1:]) == 100


def test_a_metric_computes_in_float32_wherever_it_runs() -> None:
    """cuDNN would round convolutions to TF32 by itself."""
    seen: list[bool] = []

    class Network(torch.nn.Module):
        def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
            seen.append(torch.backends.cudnn.allow_tf32)
            return (one - other).abs().mean(dim=1)

    black, white = np.zeros((4, 4, 3), np.float32), np.ones((4, 4, 3), np.float32)
    assert Lpips("mine", Network()).distance(black, white).value == 2.0
    assert seen == [False]
