"""The published architectures made so small that a random checkpoint of them runs on a CPU in seconds.

Also a pytest plugin (`-p tests.suite.toy_models`): the catalog's models are then the toys, whichever process asks.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fixtures.catalog.models import discover
from fixtures.catalog.schema import Limit, Model, Sampling, Selection, TensorSpec
from fixtures.pipelines.architecture import denoiser_on_meta, selected

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "flux1-dev": {
        "num_layers": 1,
        "num_single_layers": 2,
        "attention_head_dim": 32,
        "num_attention_heads": 4,
        "joint_attention_dim": 64,
        "pooled_projection_dim": 32,
        "axes_dims_rope": (8, 12, 12),
    },
    "qwen-image": {
        "num_layers": 2,
        "attention_head_dim": 32,
        "num_attention_heads": 4,
        "joint_attention_dim": 64,
        "axes_dims_rope": (8, 12, 12),
    },
    "ltx-2": {
        "num_layers": 2,
        "num_attention_heads": 4,
        "attention_head_dim": 32,
        "cross_attention_dim": 128,
        "audio_num_attention_heads": 4,
        "audio_attention_head_dim": 16,
        "audio_cross_attention_dim": 64,
        "caption_channels": 64,
    },
}
INPUTS: dict[str, dict[str, tuple[Any, ...]]] = {
    "flux1-dev": {"encoder_hidden_states": ("batch", 8, 64), "pooled_projections": ("batch", 32)},
    "qwen-image": {"encoder_hidden_states": ("batch", 8, 64)},
    "ltx-2": {"encoder_hidden_states": ("batch", 8, 64), "audio_encoder_hidden_states": ("batch", 8, 64)},
}
CALLS: dict[str, dict[str, int]] = {
    "flux1-dev": {"height": 64, "width": 64},
    "qwen-image": {"height": 64, "width": 64},
    "ltx-2": {"height": 64, "width": 64, "num_frames": 9},
}
MIN_FEATURES = 64


def toy(model: Model) -> Model:
    """The model with a narrow, shallow denoiser and short inputs; what is counted at full size is counted anew."""
    hub = model.samplings["hub"]
    small = dataclasses.replace(
        model,
        architecture={**model.architecture, **ARCHITECTURES[model.name]},
        inputs={**model.inputs, **{name: TensorSpec(shape=shape) for name, shape in INPUTS[model.name].items()}},
        selection=Selection(skip=model.selection.skip, min_features=MIN_FEATURES, source="toy"),
        samplings={
            **model.samplings,
            "hub": Sampling(
                call={**hub.call, **CALLS[model.name]},
                prompts=hub.prompts,
                seed=hub.seed,
                denoiser_calls=hub.denoiser_calls,
            ),
        },
        limits=(*model.limits, *LIMITS),
    )
    taken = selected(denoiser_on_meta(small), small.selection)
    return dataclasses.replace(
        small, quantized_linears=len(taken), quantized_parameters=sum(linear.parameters for linear in taken)
    )


LIMITS: tuple[Limit, ...] = ()


def toy_models() -> dict[str, Model]:
    """Every model of the catalog, as a toy."""
    return {name: toy(model) for name, model in discover().items()}


_patch = pytest.MonkeyPatch()


def pytest_configure() -> None:
    """From here on the catalog's models are toys."""
    _patch.setattr("fixtures.catalog.discover", toy_models)


def pytest_unconfigure() -> None:
    """The catalog is as it was."""
    _patch.undo()
