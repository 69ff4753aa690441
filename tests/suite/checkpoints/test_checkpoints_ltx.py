"""The tiny LTX-2: its world and its checker, its training's shortcuts, its committed folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, LTX2Pipeline

from fixtures import ROOT
from fixtures.catalog.models.ltx_2 import PINNED
from fixtures.research.training import audio, clip_checker, clip_render, clips, gemma_text, ltx_2
from fixtures.research.training.__main__ import main

COMMITTED = ROOT / "fixtures" / "checkpoints" / "ltx-2"
CLASSES = {
    "audio_vae": "AutoencoderKLLTX2Audio",
    "connectors": "LTX2TextConnectors",
    "scheduler": "FlowMatchEulerDiscreteScheduler",
    "text_encoder": "Gemma3ForConditionalGeneration",
    "tokenizer": "GemmaTokenizer",
    "transformer": "LTX2VideoTransformer3DModel",
    "vae": "AutoencoderKLLTX2Video",
    "vocoder": "LTX2Vocoder",
}


@pytest.fixture(scope="module")
def untrained() -> LTX2Pipeline:
    pipeline = ltx_2.build(size=ltx_2.TOY_SIZE, seed=0)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_captions_read_back() -> None:
    drawn = clips.sample(count=200, seed=0, held_out=False)
    for row in range(200):
        caption = drawn.caption(row)
        assert clips.Caption.parse(str(caption)) == caption
    with pytest.raises(ValueError, match="'sofa' is not a word of the clips"):
        clips.Caption.parse("a red sofa bounces on a sky background")


def test_held_out_combinations_are_never_trained_on() -> None:
    trained, held_out = (clips.sample(count=5000, seed=0, held_out=some) for some in (False, True))
    seen, unseen = (
        {(c.color, c.shape, c.motion) for c in map(some.caption, range(5000))} for some in (trained, held_out)
    )
    assert len(unseen) > 30
    assert not seen & unseen


def test_the_checker_reads_what_was_drawn_and_nothing_else() -> None:
    drawn = clips.sample(count=4, seed=3, held_out=False)
    frames, sound = clip_render.draw(drawn).float().transpose(1, 2) / 255, clip_render.sound(drawn)
    captions = [drawn.caption(row) for row in range(4)]
    assert clip_checker.judge(frames, sound, captions) == [([], [])] * 4
    for row, caption in enumerate(captions):
        back = clip_checker.read(frames[row].flip(0))  # played backwards
        expected = caption.motion in ("bounces", "stands still")
        assert (clip_checker.faults(back, caption) == []) == expected


def test_the_checker_rejects_a_clip_in_which_the_thing_vanishes() -> None:
    drawn = clips.sample(count=1, seed=4, held_out=False)
    frames = clip_render.draw(drawn).float()[0].transpose(0, 1) / 255
    frames[7] = frames[7, :, :1, :1]
    assert clip_checker.faults(clip_checker.read(frames), drawn.caption(0)) == ["0 things in frame 7"]


def test_sound_is_on_the_things_side_and_at_its_colours_pitch() -> None:
    zeros = np.zeros(2, np.int64)
    motions = np.array([list(clips.MOTIONS).index(name) for name in ("moves right", "moves left")])
    drawn = clips.Clips(
        color=zeros, shape=zeros, motion=motions, background=zeros,
        radius=np.full(2, 11, np.float32), jitter=np.zeros((2, 2), np.float32),
    )  # fmt: skip
    sound = clip_render.sound(drawn)
    left, right = sound[0, :, :1600].square().mean(dim=1)  # the first tenth of a second
    assert left > 10 * right
    torch.testing.assert_close(sound[0], sound[1].flip(0))
    heard = clip_checker.sound_faults(sound[0], drawn.caption(1))
    assert len(heard) == 1
    assert "wanders" in heard[0]


def test_captions_and_the_negative_prompt_are_known_words(untrained: LTX2Pipeline) -> None:
    assert PINNED["negative_prompt"] == ltx_2.NEGATIVE
    texts = [*clips.held_out_captions(count=50), ltx_2.NEGATIVE]
    for text in texts:
        ids = untrained.tokenizer(text).input_ids
        assert len(ids) == 1 + len(text.replace(",", " ,").split()) <= ltx_2.LENGTH
        assert untrained.tokenizer.unk_token_id not in ids


def test_training_reads_captions_as_the_pipeline_does(untrained: LTX2Pipeline) -> None:
    drawn = clips.sample(count=3, seed=1, held_out=False)
    states, counts, rows = ltx_2._conditions(untrained, drawn, torch.device("cpu"))
    expected, mask = untrained._get_gemma_prompt_embeds([str(drawn.caption(2)), ltx_2.NEGATIVE], max_sequence_length=16)
    for row, number in ((0, rows[2]), (1, -1)):
        torch.testing.assert_close(states[number].float(), expected[row], atol=0.02, rtol=0)
        assert torch.equal(counts[number], mask[row])
    assert states.shape[2] == gemma_text.WIDTH * (gemma_text.LAYERS + 1)


def test_training_packs_latents_as_the_pipeline_unpacks_them(untrained: LTX2Pipeline) -> None:
    drawn = clips.sample(count=2, seed=1, held_out=False)
    sound = clip_render.sound(drawn)
    vae, audio_vae = untrained.vae, untrained.audio_vae
    picture, tones = ltx_2._latents(untrained, drawn, sound, torch.device("cpu"))
    made = untrained._denormalize_latents(
        untrained._unpack_latents(picture.float(), 5, 4, 4), vae.latents_mean, vae.latents_std
    )
    expected = vae.encode(clip_render.draw(drawn).float().div(127.5).sub(1.0)).latent_dist.mode()
    torch.testing.assert_close(made, expected, atol=0.02, rtol=0.01)
    made = untrained._denormalize_audio_latents(tones.float(), audio_vae.latents_mean, audio_vae.latents_std)
    made = untrained._unpack_audio_latents(made, 18, num_mel_bins=audio.BANDS // 4)
    expected = audio_vae.encode(audio.mel(sound)).latent_dist.mode()
    torch.testing.assert_close(made, expected, atol=0.02, rtol=0.01)


def test_the_training_script_leaves_a_pipeline_with_sound(tmp_path: Path) -> None:
    main(["ltx-2", "--toy", "--minutes", "1", "--out", str(tmp_path / "ltx-2")])
    pipeline = DiffusionPipeline.from_pretrained(tmp_path / "ltx-2", torch_dtype=torch.bfloat16)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.vae.enable_tiling()
    call = {**PINNED, **ltx_2.CALL, "num_inference_steps": 2}
    made = pipeline("a red circle moves up on a sky background", output_type="pt", **call)
    assert made.frames.shape == (1, 17, 3, 64, 64)
    assert torch.isfinite(made.frames).all()
    assert made.audio.shape == (1, 2, clip_render.SAMPLES)
    assert torch.isfinite(made.audio).all()


def test_the_committed_folder_is_whole_and_small() -> None:
    index = json.loads((COMMITTED / "model_index.json").read_text())
    assert {name: index[name][1] for name in CLASSES} == CLASSES
    assert sum(file.stat().st_size for file in COMMITTED.rglob("*") if file.is_file()) <= 12e6
    prompts = [
        clips.Caption.parse(prompt) for prompt in json.loads((COMMITTED / "prompts.json").read_text())["prompts"]
    ]
    assert len(prompts) >= 8
    assert all(clips.is_held_out(prompt.color, prompt.shape, prompt.motion) for prompt in prompts)


def test_the_committed_folder_moves_what_is_asked() -> None:
    pipeline = DiffusionPipeline.from_pretrained(COMMITTED, torch_dtype=torch.bfloat16)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.vae.enable_tiling()
    stored = json.loads((COMMITTED / "prompts.json").read_text())
    prompts = stored["prompts"][:4]
    generators = [torch.Generator().manual_seed(row) for row in range(len(prompts))]
    made = pipeline(prompts, generator=generators, output_type="pt", **stored["call"])
    captions = [clips.Caption.parse(prompt) for prompt in prompts]
    faults = clip_checker.judge(made.frames.float(), made.audio.float(), captions)
    assert sum(not seen for seen, _ in faults) >= 3
    assert sum(not heard for _, heard in faults) >= 3
