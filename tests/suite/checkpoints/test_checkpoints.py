"""The tiny checkpoints: their scenes, the checker that judges them, and the script that trained them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline, FluxPipeline

from fixtures.research.training import checker, flux1_dev, loop, render, scenes, text


def test_the_same_seed_draws_the_same_scenes() -> None:
    first, second = (scenes.sample(count=8, seed=3, held_out=False) for _ in range(2))
    assert [str(first.caption(row)) for row in range(8)] == [str(second.caption(row)) for row in range(8)]
    assert torch.equal(render.draw(first), render.draw(second))
    assert not torch.equal(render.draw(first), render.draw(scenes.sample(count=8, seed=4, held_out=False)))


def test_every_caption_can_be_read_back() -> None:
    drawn = scenes.sample(count=200, seed=5, held_out=False)
    for row in range(len(drawn)):
        assert scenes.Caption.parse(str(drawn.caption(row))) == drawn.caption(row)


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("a cat", "does not end in"),
        ("a small plain red circle at top left, on a plaid background", "'plaid' is not a background"),
        ("a small plain red dodo at top left, on a sky background", "'dodo' is not a word of the scenes"),
        ("a small plain red circle at the side, on a sky background", "at the side"),
        (", ".join(["a small plain red star at top left"] * 2) + ", on a sky background", "two things at one place"),
    ],
)
def test_a_caption_outside_the_grammar_is_refused_by_name(caption: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        scenes.Caption.parse(caption)


def test_held_out_combinations_are_never_trained_on() -> None:
    trained, kept = (scenes.sample(count=300, seed=6, held_out=flag) for flag in (False, True))
    assert not any(thing.held_out for row in range(300) for thing in trained.caption(row).things)
    assert all(thing.held_out for row in range(300) for thing in kept.caption(row).things)


def test_any_two_words_of_a_held_out_combination_meet_in_training() -> None:
    words = {
        (color, texture, shape): scenes.Thing(size="small", texture=texture, color=color, shape=shape).held_out
        for color in scenes.COLORS
        for texture in scenes.TEXTURES
        for shape in scenes.SHAPES
    }
    trained = [key for key, held_out in words.items() if not held_out]
    for pair in ((0, 1), (0, 2), (1, 2)):
        assert {tuple(key[i] for i in pair) for key in trained} == {tuple(key[i] for i in pair) for key in words}


def test_the_checker_reads_drawn_scenes_as_their_captions() -> None:
    drawn = scenes.sample(count=24, seed=7, held_out=False)
    pictures = render.draw(drawn).float() / 255
    assert [checker.faults(checker.read(pictures[row]), drawn.caption(row)) for row in range(24)] == [[]] * 24


def test_the_checker_refuses_a_caption_with_one_wrong_word() -> None:
    drawn = scenes.sample(count=1, seed=8, held_out=False)
    caption = drawn.caption(0)
    reading = checker.read(render.draw(drawn)[0].float() / 255)
    thing = caption.things[0]
    wrong = [
        dataclasses.replace(thing, **{field: word})
        for field, table in (
            ("size", scenes.SIZES),
            ("texture", scenes.TEXTURES),
            ("color", scenes.COLORS),
            ("shape", scenes.SHAPES),
        )
        for word in table
        if word != getattr(thing, field)
    ]
    for other in wrong:
        assert checker.faults(reading, dataclasses.replace(caption, things=(other, *caption.things[1:])))
    moved = (*caption.places[1:], caption.places[0])
    assert checker.faults(reading, dataclasses.replace(caption, places=moved))
    for ground in scenes.BACKGROUNDS:
        if (ground, ground) != caption.background:
            assert checker.faults(reading, dataclasses.replace(caption, background=(ground, ground)))


@pytest.mark.parametrize("control", ["black", "noise", "blurred", "one thing too many"])
def test_the_checker_refuses_pictures_that_show_nothing_of_the_kind(control: str) -> None:
    drawn = scenes.sample(count=2, seed=9, held_out=False)
    truth, other = render.draw(drawn).float() / 255
    picture = {
        "black": torch.zeros_like(truth),
        "noise": torch.rand(truth.shape, generator=torch.Generator().manual_seed(0)),
        "blurred": torch.nn.functional.avg_pool2d(truth[None], 9, stride=1, padding=4)[0],
        "one thing too many": torch.where(torch.arange(128) < 64, truth, other),
    }[control]
    assert not checker.shows(picture, drawn.caption(0))


def test_each_word_is_one_token_of_each_tokenizer(tmp_path: Path) -> None:
    pipeline = flux1_dev.build(size=flux1_dev.TOY_SIZE, seed=0)
    captions = scenes.held_out_captions(count=50)
    for tokenizer, length, extra in (
        (pipeline.tokenizer, text.CLIP_LENGTH, 2),
        (pipeline.tokenizer_2, flux1_dev.LENGTH, 1),
    ):
        ids = text.token_ids(tokenizer, captions, length=length)
        for caption, row in zip(captions, ids.tolist(), strict=True):
            read = tokenizer(caption).input_ids
            assert row == read + [tokenizer.pad_token_id] * (length - len(read))
            assert len(read) == len(caption.replace(",", " ,").split()) + extra
            assert tokenizer.unk_token_id not in read[:-1] or tokenizer.unk_token_id == tokenizer.eos_token_id


def test_text_vectors_tell_which_word_stands_beside_which() -> None:
    pipeline = flux1_dev.build(size=flux1_dev.TOY_SIZE, seed=0)
    captions = [
        "a small plain red star left of a large plain blue ring, on a sky background",
        "a large plain blue star left of a small plain red ring, on a sky background",
    ]
    words, pooled, _ = pipeline.encode_prompt(captions, None, max_sequence_length=flux1_dev.LENGTH)
    star = 4
    assert not torch.allclose(words[0, star], words[1, star], atol=0.1)
    assert not torch.allclose(pooled[0], pooled[1], atol=0.1)


def test_the_training_script_runs_at_toy_size(tmp_path: Path) -> None:
    flux1_dev.train(size=flux1_dev.TOY_SIZE, plan=flux1_dev.TOY_PLAN, seed=0, start=None, out=tmp_path, log=loop.Log())
    pipeline = DiffusionPipeline.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    pipeline.set_progress_bar_config(disable=True)
    assert isinstance(pipeline, FluxPipeline)
    call = {**flux1_dev.CALL, "num_inference_steps": 2}
    (picture,) = pipeline(scenes.held_out_captions(count=1)[0], output_type="pt", **call).images
    assert picture.shape == (3, scenes.PICTURE, scenes.PICTURE)
    assert picture.isfinite().all()
