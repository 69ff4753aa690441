"""FLUX.1-dev cut down so far that the code of its blocks is made in seconds."""

from __future__ import annotations

import dataclasses

from fixtures.catalog import models
from fixtures.catalog.schema import Model, Selection, TensorSpec


def toy() -> Model:
    """Single blocks alone, 256 wide, two heads, 256 picture and 128 text tokens; everything else as published."""
    flux = models()["flux1-dev"]
    narrow = {"num_attention_heads": 2, "joint_attention_dim": 256, "pooled_projection_dim": 128}
    shapes = {
        "hidden_states": TensorSpec(shape=("batch", 256, 64)),
        "encoder_hidden_states": TensorSpec(shape=("batch", 128, 256)),
        "pooled_projections": TensorSpec(shape=("batch", 128)),
        "img_ids": TensorSpec(shape=(256, 3)),
        "txt_ids": TensorSpec(shape=(128, 3)),
    }
    return dataclasses.replace(
        flux,
        architecture={**flux.architecture, **narrow, "num_layers": 0, "num_single_layers": 2},
        inputs={**flux.inputs, **shapes},
        selection=Selection(skip=flux.selection.skip, min_features=256, source="toy"),
    )
