"""FLUX.2 [klein] 4B as a catalog file of its own: all that the suite has to be told to judge a model it never saw.

The tests name this file in GATE_MODELS and build random weights of the real classes for it (flux2_klein_weights.py).
"""

from __future__ import annotations

from fixtures.catalog.prompts import PICTURES
from fixtures.catalog.schema import Model, Sampling, Schedule, Selection, TensorSpec
from fixtures.catalog.tiny_limits import tiny_limits

PINNED = {
    "image": None,
    "sigmas": None,
    "guidance_scale": 1.0,  # distilled: one denoiser call a step
    "num_images_per_prompt": 1,
    "attention_kwargs": None,
}

HUB = Sampling(
    call={
        **PINNED,
        "height": 1024,
        "width": 1024,
        "num_inference_steps": 4,
        "max_sequence_length": 512,
        "text_encoder_out_layers": (9, 18, 27),
    },
    prompts=PICTURES,
    seed=0,
    denoiser_calls=4,
)

TINY = Sampling(
    call={
        **PINNED,
        # Above 1, so that the gates see whether a quantized pipeline still knows that its checkpoint is distilled.
        "guidance_scale": 4.0,
        "height": 64,
        "width": 64,
        "num_inference_steps": 4,
        "max_sequence_length": 64,
        "text_encoder_out_layers": (1, 2, 3),
    },
    prompts=("a red circle", "two blue squares"),
    seed=0,
    denoiser_calls=4,
)

LIMITS = tiny_limits(
    # Measured on one CPU (AVX-512): 25.9 and 13.6 dB, mean LPIPS 0.0004 and 0.0033, bf16 to float32 0.0011.
    source="random weights of flux2_klein_weights.py, with room for other instruction sets",
    reference={"st-lpips-alex": 0.0001},
    bf16={"st-lpips-alex": 0.005},
    quality={"mxfp8": {"st-lpips-alex": (0.002, 0.003)}, "nvfp4": {"st-lpips-alex": (0.012, 0.02)}},
    velocity={"mxfp8": 23.0, "nvfp4": 11.0},
)

MODEL = Model(
    name="flux2-klein",
    title="FLUX.2 [klein] 4B",
    repo="black-forest-labs/FLUX.2-klein-4B",
    revision="e7b7dc27f91deacad38e78976d1f2b499d76a294",
    licence="Apache-2.0",
    pipeline="Flux2KleinPipeline",
    denoiser="Flux2Transformer2DModel",
    component="transformer",
    architecture={  # diffusers, scripts/convert_flux2_to_diffusers.py, "klein-4b"
        "patch_size": 1,
        "in_channels": 128,
        "num_layers": 5,
        "num_single_layers": 20,
        "attention_head_dim": 128,
        "num_attention_heads": 24,
        "joint_attention_dim": 7680,
        "timestep_guidance_channels": 256,
        "mlp_ratio": 3.0,
        "axes_dims_rope": (32, 32, 32, 32),
        "rope_theta": 2000,
        "eps": 1e-6,
        "guidance_embeds": False,
    },
    inputs={
        "hidden_states": TensorSpec(shape=("batch", 4096, 128)),
        "encoder_hidden_states": TensorSpec(shape=("batch", 512, 7680)),
        "timestep": TensorSpec(shape=("batch",)),
        "img_ids": TensorSpec(shape=("batch", 4096, 4), dtype="int64"),
        "txt_ids": TensorSpec(shape=("batch", 512, 4), dtype="int64"),
    },
    input_values={"guidance": None, "return_dict": False},
    selection=Selection(
        skip=("*embed*", "norm_out.linear", "proj_out"),
        min_features=1024,
        source="what the published benchmark skips in FLUX.1-dev; nobody published one for this model",
    ),
    # 12 in each of 5 double blocks, 2 in each of 20 single blocks, 3 modulations that all blocks share.
    parameters=3_875_544_576,
    quantized_linears=103,
    # Widths 3072 and 9216: 40 x 3072^2 + 20 x 3072 x 27648 + 20 x 12288 x 3072 + 12 x 3072 x 18432 + 11 x 9216 x 3072.
    quantized_parameters=3_822_059_520,
    compile_modes={1: "reduce-overhead", 4: "regional"},
    samplings={"hub": HUB, "tiny": TINY},
    schedule=Schedule(
        options={"num_train_timesteps": 1000, "use_dynamic_shifting": True},
        source="the scheduler of flux2_klein_weights.py",
        sigmas=(1.0, 0.967384, 0.908144, 0.7672),
    ),
    tiny_min_features=64,
    published={},
    limits=LIMITS,
)
