"""The catalog's architectures are the published ones, and a moved diffusers is named."""

from __future__ import annotations

import dataclasses
import fnmatch
import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import torch

from fixtures.catalog import models
from fixtures.catalog.models import ltx_2, qwen_image
from fixtures.catalog.schema import Model, TensorSpec
from fixtures.pipelines.architecture import (
    ArchitectureError,
    LinearShape,
    denoiser_on_meta,
    example_inputs,
    linears,
    selected,
)

MODELS = models()
EVERY_MODEL = pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))

TOTAL_LINEARS = {"flux1-dev": 504, "qwen-image": 846, "ltx-2": 1370}
SHARE_OF_WEIGHTS = {"flux1-dev": 0.9946, "qwen-image": 0.3327, "ltx-2": 0.9973}

NOT_PINNED = {
    "prompt",
    "generator",
    "output_type",
    # Inputs given ready-made instead of being computed from the prompt and the seed.
    "latents",
    "audio_latents",
    "prompt_embeds",
    "pooled_prompt_embeds",
    "negative_prompt_embeds",
    "negative_pooled_prompt_embeds",
    "prompt_embeds_mask",
    "negative_prompt_embeds_mask",
    "prompt_attention_mask",
    "negative_prompt_attention_mask",
    "ip_adapter_image",
    "ip_adapter_image_embeds",
    "negative_ip_adapter_image",
    "negative_ip_adapter_image_embeds",
    # How the result is handed over, not what it is.
    "return_dict",
    "callback_on_step_end",
    "callback_on_step_end_tensor_inputs",
    # Read only where num_frames is left open.
    "min_seconds",
    "max_seconds",
    # Read only where enable_prompt_enhancement is on.
    "prompt_max_new_tokens",
    "prompt_enhancement_kwargs",
    "prompt_enhancement_seed",
}
"""Arguments of a pipeline call that cannot change a picture drawn from prompt, generator and pinned arguments."""


@cache
def denoiser(name: str) -> torch.nn.Module:
    return denoiser_on_meta(MODELS[name])


def with_architecture(model: Model, architecture: Mapping[str, Any]) -> Model:
    return dataclasses.replace(model, architecture=architecture)


@EVERY_MODEL
def test_selection_takes_the_published_linears(model: Model) -> None:
    module = denoiser(model.name)
    chosen = selected(module, model.selection)
    assert len(linears(module)) == TOTAL_LINEARS[model.name]
    assert len(chosen) == model.quantized_linears
    assert sum(shape.parameters for shape in chosen) == model.quantized_parameters
    assert sum(parameter.numel() for parameter in module.parameters()) == model.parameters
    share = model.quantized_parameters / sum(shape.parameters for shape in linears(module))
    assert share == pytest.approx(SHARE_OF_WEIGHTS[model.name], abs=5e-5)


@pytest.mark.parametrize("module", [qwen_image, ltx_2], ids=["qwen-image", "ltx-2"])
def test_patterns_added_for_narrow_checkpoints_change_nothing_at_full_size(module: Any) -> None:
    model: Model = module.MODEL
    published = dataclasses.replace(model.selection, skip=module.PUBLISHED_SKIP)
    assert selected(denoiser(model.name), published) == selected(denoiser(model.name), model.selection)


@pytest.mark.parametrize("module", [qwen_image, ltx_2], ids=["qwen-image", "ltx-2"])
def test_narrow_checkpoints_skip_the_same_modules(module: Any) -> None:
    """What the width threshold skips at full size, names skip: so a lower threshold takes no other module."""
    model: Model = module.MODEL
    lowered = dataclasses.replace(model.selection, min_features=model.tiny_min_features)
    assert selected(denoiser(model.name), lowered) == selected(denoiser(model.name), model.selection)


def test_five_of_ltx_2s_published_patterns_match_nothing() -> None:
    names = [shape.name for shape in linears(denoiser("ltx-2"))]
    dead = [p for p in ltx_2.PUBLISHED_SKIP if not any(fnmatch.fnmatchcase(name, p) for name in names)]
    # The authors' script names the three add_*_proj separately; facts count them as one.
    assert dead == [
        "*patch_embed*", "*adaln_single*", "*add_q_proj*", "*add_k_proj*", "*add_v_proj*", "*to_add_out*", "*norm_out*",
    ]  # fmt: skip
    quantized = {shape.name for shape in selected(denoiser("ltx-2"), ltx_2.MODEL.selection)}
    assert {"time_embed.linear", "audio_time_embed.linear", "av_cross_attn_video_a2v_gate.linear"} <= quantized


def test_flux_keeps_the_single_blocks_projections() -> None:
    names = {shape.name for shape in selected(denoiser("flux1-dev"), MODELS["flux1-dev"].selection)}
    assert sum(name.endswith(".proj_out") for name in names) == 38
    assert "proj_out" not in names


@EVERY_MODEL
def test_denoiser_takes_no_memory_and_is_bf16(model: Model) -> None:
    parameters = list(denoiser(model.name).parameters())
    assert {parameter.device.type for parameter in parameters} == {"meta"}
    assert {parameter.dtype for parameter in parameters} == {torch.bfloat16}
    assert not denoiser(model.name).training


@EVERY_MODEL
def test_every_argument_of_the_pipeline_call_is_pinned(model: Model) -> None:
    import diffusers

    known = set(inspect.signature(getattr(diffusers, model.pipeline).__call__).parameters) - {"self"}
    for sampling in model.samplings.values():
        assert set(sampling.call) <= known, "the catalog pins what this pipeline does not take"
        assert known - set(sampling.call) <= NOT_PINNED, "a pipeline argument is left to its default"


@EVERY_MODEL
def test_inputs_are_arguments_of_the_denoiser(model: Model) -> None:
    known = inspect.signature(type(denoiser(model.name)).forward).parameters
    assert set(model.inputs) | set(model.input_values) <= set(known)


def test_inputs_follow_the_batch_size() -> None:
    flux = example_inputs(MODELS["flux1-dev"], 4)
    assert flux["hidden_states"].shape == (4, 4096, 64)
    assert flux["img_ids"].shape == (4096, 3)
    assert flux["guidance"].dtype is torch.float32
    assert flux["return_dict"] is False
    assert example_inputs(MODELS["qwen-image"], 4)["hidden_states"].shape == (4, 4096, 64)


def test_guidance_in_one_call_doubles_the_rows() -> None:
    assert MODELS["ltx-2"].rows_per_sample == 2
    assert example_inputs(MODELS["ltx-2"], 4)["hidden_states"].shape == (8, 6144, 128)


def test_inputs_off_the_meta_device_are_drawn_from_the_seed() -> None:
    small = dataclasses.replace(
        MODELS["ltx-2"],
        inputs={
            "hidden_states": TensorSpec(shape=("batch", 3, 5)),
            "encoder_attention_mask": TensorSpec(shape=("batch", 7), dtype="int64"),
        },
    )
    first, again, other = (example_inputs(small, 1, "cpu", seed) for seed in (0, 0, 1))
    assert first["hidden_states"].dtype is torch.bfloat16
    assert torch.equal(first["hidden_states"], again["hidden_states"])
    assert not torch.equal(first["hidden_states"], other["hidden_states"])
    assert first["encoder_attention_mask"].tolist() == [[1] * 7] * 2


def test_linears_are_listed_with_their_bias() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2, bias=False))
    assert linears(module) == [
        LinearShape(name="0", in_features=3, out_features=5, bias=True),
        LinearShape(name="2", in_features=5, out_features=2, bias=False),
    ]
    assert linears(module)[0].parameters == 15


def test_a_renamed_class_is_named() -> None:
    moved = dataclasses.replace(MODELS["flux1-dev"], denoiser="FluxDenoiser")
    with pytest.raises(ArchitectureError, match=r"no denoiser class FluxDenoiser.*catalog/models/flux1_dev.py"):
        denoiser_on_meta(moved)


def test_a_renamed_config_key_is_named() -> None:
    flux = MODELS["flux1-dev"]
    moved = with_architecture(flux, {**flux.architecture, "num_blocks": 19})
    with pytest.raises(ArchitectureError, match=r"FluxTransformer2DModel of diffusers .* no argument 'num_blocks'"):
        denoiser_on_meta(moved)


def test_a_config_that_the_class_refuses_is_told_with_its_reason() -> None:
    flux = MODELS["flux1-dev"]
    broken = with_architecture(flux, {**flux.architecture, "num_attention_heads": "many"})
    with pytest.raises(ArchitectureError, match=r"cannot be built from the published config of flux1-dev: TypeError"):
        denoiser_on_meta(broken)
