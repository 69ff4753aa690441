"""The tiny QwenImage: its words, its training's shortcuts, its committed folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline, QwenImagePipeline

from fixtures import ROOT
from fixtures.research.training import checker, qwen_image, qwen_text, qwen_vae, render, scenes
from fixtures.research.training.__main__ import main

COMMITTED = ROOT / "fixtures" / "checkpoints" / "qwen-image"
CLASSES = {
    "scheduler": "FlowMatchEulerDiscreteScheduler",
    "text_encoder": "Qwen2_5_VLForConditionalGeneration",
    "tokenizer": "Qwen2Tokenizer",
    "transformer": "QwenImageTransformer2DModel",
    "vae": "AutoencoderKLQwenImage",
}


@pytest.fixture(scope="module")
def untrained() -> QwenImagePipeline:
    pipeline = qwen_image.build(size=qwen_image.TOY_SIZE, seed=0)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def captions() -> list[str]:
    drawn = scenes.sample(count=6, seed=5, held_out=False)
    return [str(drawn.caption(row)) for row in range(6)]


def test_every_word_is_one_token_and_the_template_34(untrained: QwenImagePipeline, captions: list[str]) -> None:
    words = untrained.tokenizer
    start = words(untrained.prompt_template_encode.split("{}")[0]).input_ids
    assert len(start) == untrained.prompt_template_encode_start_idx == qwen_text.DROPPED
    for caption in captions:
        assert len(words(caption).input_ids) == len(caption.replace(",", " ,").split())


def test_training_reads_captions_as_the_pipeline_does(untrained: QwenImagePipeline, captions: list[str]) -> None:
    made = qwen_image._conditions(untrained, captions)
    expected, mask = untrained.encode_prompt(captions[1:5])
    length = expected.shape[1]
    assert torch.equal(made["counts"][1:5, :length], mask.bool())
    torch.testing.assert_close(made["words"][1:5, :length].float(), expected * mask[..., None], atol=0.02, rtol=0)
    # The first of every five captions is the negative prompt.
    expected, mask = untrained.encode_prompt(qwen_image.NEGATIVE)
    assert mask is None
    assert made["counts"][0].sum() == made["counts"][5].sum() == expected.shape[1]
    torch.testing.assert_close(made["words"][0, : expected.shape[1]].float(), expected[0], atol=0.02, rtol=0)


def test_a_clauses_last_word_knows_its_first(untrained: QwenImagePipeline) -> None:
    texts = [f"a {size} plain red circle at top left, on a sky background" for size in scenes.SIZES]
    small, large = untrained.encode_prompt(texts)[0]
    differs = (small - large).abs().amax(dim=1) > 0.1
    words = texts[0].replace(",", " ,").split()
    assert differs[words.index("left")]
    assert not differs[words.index("background")]


def test_one_frame_is_encoded_as_by_the_autoencoder_itself(untrained: QwenImagePipeline) -> None:
    pictures = render.draw(scenes.sample(count=2, seed=0, held_out=False))
    expected = untrained.vae.encode(pictures.float().div(127.5).sub(1.0)[:, :, None]).latent_dist.mode()
    torch.testing.assert_close(qwen_vae.encode(untrained.vae, pictures), expected[:, :, 0])


def test_training_calls_the_denoiser_as_the_pipeline_does(untrained: QwenImagePipeline, captions: list[str]) -> None:
    made = qwen_image._conditions(untrained, captions)
    noisy, shapes = torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(0)), [[(1, 8, 8)]]
    level = torch.tensor([0.7])
    transformer = untrained.transformer
    length = int(made["counts"][1].sum())
    with torch.no_grad():
        expected = transformer(
            hidden_states=noisy, timestep=level, encoder_hidden_states=made["words"][1:2, :length].float(),
            img_shapes=shapes, return_dict=False,
        )[0]  # fmt: skip
        with qwen_image._real_rotation(transformer, side=8, device=torch.device("cpu")):
            padded = transformer(
                hidden_states=noisy, timestep=level, encoder_hidden_states=made["words"][1:2].float(),
                encoder_hidden_states_mask=made["counts"][1:2], img_shapes=shapes, return_dict=False,
            )[0]  # fmt: skip
    torch.testing.assert_close(padded, expected, atol=1e-4, rtol=1e-4)


def test_the_training_script_leaves_a_pipeline_that_draws(tmp_path: Path) -> None:
    main(["qwen-image", "--toy", "--minutes", "1", "--out", str(tmp_path / "qwen-image")])
    pipeline = DiffusionPipeline.from_pretrained(tmp_path / "qwen-image", torch_dtype=torch.bfloat16)
    pipeline.set_progress_bar_config(disable=True)
    call = {**qwen_image.CALL, "num_inference_steps": 2}
    picture = pipeline("a small plain red circle at top left, on a sky background", output_type="pt", **call).images
    assert picture.shape == (1, 3, 128, 128)
    assert torch.isfinite(picture).all()
    assert json.loads((tmp_path / "qwen-image-report" / "metrics.json").read_text())["truth"] == 1.0


def test_the_committed_folder_is_whole_and_small() -> None:
    index = json.loads((COMMITTED / "model_index.json").read_text())
    assert {name: index[name][1] for name in CLASSES} == CLASSES
    assert sum(file.stat().st_size for file in COMMITTED.rglob("*") if file.is_file()) <= 12e6
    prompts = json.loads((COMMITTED / "prompts.json").read_text())["prompts"]
    assert len(prompts) >= 8
    assert all(thing.held_out for prompt in prompts for thing in scenes.Caption.parse(prompt).things)


def test_the_committed_folder_draws_what_is_asked() -> None:
    pipeline = DiffusionPipeline.from_pretrained(COMMITTED, torch_dtype=torch.bfloat16)
    pipeline.set_progress_bar_config(disable=True)
    stored = json.loads((COMMITTED / "prompts.json").read_text())
    prompts = stored["prompts"][:4]
    generators = [torch.Generator().manual_seed(row) for row in range(len(prompts))]
    pictures = pipeline(prompts, generator=generators, output_type="pt", **stored["call"]).images.float()
    shown = [
        [checker.shows(picture, scenes.Caption.parse(prompt)) for prompt in prompts] for picture in pictures
    ]  # [picture][prompt]
    assert sum(shown[row][row] for row in range(4)) >= 3
    assert not any(shown[row][other] for row in range(4) for other in range(4) if row != other)
