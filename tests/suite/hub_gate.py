"""The hub lane made to fit tiny weights: a pytest plugin (`-p tests.suite.hub_gate`) for runs whose hub holds them.

Every published call argument stays but those that say how large a picture is and how long it takes to draw.
"""

from __future__ import annotations

import dataclasses

import pytest

from fixtures.catalog.models import discover
from fixtures.catalog.schema import Limit, Model, Sampling

STEPS = 2
PROMPTS = 2
SIZES = ("height", "width", "num_frames", "max_sequence_length")
LINEARS = {"flux1-dev": 44}
"""How many Linears the published selection takes of a tiny denoiser."""

LIMITS = tuple(
    Limit(
        gate="reference",
        quantity=quantity,
        unit="LPIPS",
        ceiling=0.005,
        checkpoints=("hub",),
        metrics=("st-lpips-alex",),
        source="two prompts and two steps of tiny weights: several times what a healthy stack shows",
    )
    for quantity in ("lpips_to_stored", "lpips_bf16_to_float32")
)
"""The published ceilings are of LPIPS alone, and the tests have only the metric that brings its trunk along."""


def fitted(model: Model) -> Model:
    """The model with a hub sampling, a width threshold and counts that tiny weights can meet."""
    hub, tiny = model.samplings["hub"], model.samplings["tiny"]
    branches = hub.denoiser_calls // hub.call["num_inference_steps"]
    sizes = {name: tiny.call[name] for name in SIZES if name in hub.call}
    sampling = Sampling(
        call={**hub.call, **sizes, "num_inference_steps": STEPS},
        prompts=tiny.prompts[:PROMPTS],
        seed=hub.seed,
        denoiser_calls=STEPS * branches,
    )
    return dataclasses.replace(
        model,
        samplings={**model.samplings, "hub": sampling},
        selection=model.selection_for("tiny"),
        limits=(*model.limits, *LIMITS),
        quantized_linears=LINEARS.get(model.name, model.quantized_linears),
    )


def fitted_models() -> dict[str, Model]:
    """Every model of the catalog that has a tiny checkpoint, fitted."""
    return {name: fitted(model) for name, model in discover().items() if "tiny" in model.samplings}


_patch = pytest.MonkeyPatch()


def pytest_configure() -> None:
    """From here on the catalog's models are fitted."""
    _patch.setattr("fixtures.catalog.discover", fitted_models)


def pytest_unconfigure() -> None:
    """The catalog is as it was."""
    _patch.undo()
