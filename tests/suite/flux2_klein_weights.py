"""A tiny FLUX.2 [klein] pipeline with random weights: every class is the published one's, every width is small."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM

WIDTH = 32
"""Of the text encoder; the denoiser reads three of its layers side by side."""
LATENTS = 4
"""Channels of the autoencoder; 2x2 patches of them are the denoiser's channels."""
TURN = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"


def save(folder: Path, *, seed: int = 0, distilled: bool = True) -> Path:
    """Draw the weights and save the pipeline to `folder`."""
    torch.manual_seed(seed)
    words = _tokenizer()
    encoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(words),
            hidden_size=WIDTH,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            initializer_range=0.5,
        )
    )
    transformer = Flux2Transformer2DModel(
        in_channels=4 * LATENTS,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=32,
        num_attention_heads=4,
        joint_attention_dim=3 * WIDTH,
        timestep_guidance_channels=32,
        axes_dims_rope=(8, 8, 8, 8),
        guidance_embeds=False,
    )
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, latent_channels=LATENTS, norm_num_groups=4
    )
    with torch.no_grad():  # as bright and as varied as a picture; drawn weights alone make a grey one
        vae.decoder.conv_out.weight.mul_(8.0)
        for name, weight in transformer.named_parameters():  # gates as wide open as trained ones
            if "modulation" in name:
                weight.mul_(20.0)
    pipe = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae.eval(),
        text_encoder=encoder.eval(),
        tokenizer=words,
        transformer=transformer.eval(),
        is_distilled=distilled,
    )
    pipe.to(torch.bfloat16).save_pretrained(folder)
    return folder


def _tokenizer() -> Qwen2Tokenizer:
    """One token a byte, and Qwen's marks of who speaks."""
    words = Qwen2Tokenizer(
        vocab={letter: index for index, letter in enumerate(sorted(ByteLevel.alphabet()))},
        merges=[],
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        padding_side="right",
    )
    words.chat_template = TURN
    return words
