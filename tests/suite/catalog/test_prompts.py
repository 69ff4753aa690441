"""The prompts of the b200 lane: enough of them, all different, and their source said."""

from __future__ import annotations

import pytest

from fixtures.catalog import models, prompts
from fixtures.catalog.schema import Model

PICTURE_MODELS = [model for model in models().values() if model.samplings["hub"].prompts == prompts.PICTURES]


def test_pictures_are_at_least_32_different_prompts() -> None:
    assert len(prompts.PICTURES) >= 32
    assert len({prompt.casefold() for prompt in (*prompts.PICTURES, *prompts.CLIPS)}) == len(prompts.PICTURES) + len(
        prompts.CLIPS
    )
    assert all(20 <= len(prompt) <= 120 for prompt in (*prompts.PICTURES, *prompts.CLIPS))


def test_source_and_licence_are_said() -> None:
    assert "Source: " in (prompts.__doc__ or "")
    assert "Licence: " in (prompts.__doc__ or "")


def test_flux_and_qwen_draw_them_and_time_the_published_one() -> None:
    assert {model.name for model in PICTURE_MODELS} == {"flux1-dev", "qwen-image"}
    assert prompts.PICTURES[0] == prompts.SIGN


@pytest.mark.parametrize("model", models().values(), ids=list(models()))
def test_published_batch_sizes_divide_the_prompts(model: Model) -> None:
    """A last batch of another size would compile anew, and be drawn by other kernels than its neighbours."""
    assert all(len(model.samplings["hub"].prompts) % batch_size == 0 for batch_size in model.compile_modes)
