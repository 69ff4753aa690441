"""The catalog of a simulated host: what the hub holds under the published names are the tiny checkpoints, drawn small.

Every published call argument stays but those that say how large a picture is and how long it takes to draw; the
published floors of speed and ceilings of memory stay; ceilings of pictures and floors of velocities are those of what
is drawn. Nothing else of the catalog differs.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from fixtures import catalog
from fixtures.catalog.models import discover as everything
from fixtures.catalog.schema import Checkpoint, Model, Sampling, Selection
from tests.suite.b200.toy_limits import LIMITS

SIZES = ("height", "width", "num_frames", "max_sequence_length")
PICTURED = {"quality", "velocity", "reference"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Simulated(Model):
    """A model whose published weights are tiny, and whose published architecture is not."""

    hub_linears: int = 0

    def selection_for(self, checkpoint: Checkpoint) -> Selection:
        """As for the tiny checkpoint, which is what the hub holds."""
        return super().selection_for("tiny" if checkpoint == "hub" else checkpoint)

    def declared_linears(self, checkpoint: Checkpoint) -> int | None:
        """As counted in what the hub holds."""
        return self.hub_linears if checkpoint == "hub" else super().declared_linears(checkpoint)


LINEARS = {"flux1-dev": 44, "qwen-image": 24, "ltx-2": 68}
"""How many Linears the published selection takes of each tiny denoiser."""


NOISE_LEVELS = {"flux1-dev": (1.0, 0.612866), "qwen-image": (1.0, 0.75), "ltx-2": (1.0, 0.75)}
"""What a tiny checkpoint's scheduler sets for STEPS steps at SIDE pixels (diffusers 0.42.1)."""
STEPS, PROMPTS, SIDE = 2, 2, 64


def simulated(model: Model) -> Simulated:
    """The model as the simulated host has it: what hub and tiny checkpoint draw is small and judged by LIMITS."""
    hub, tiny = model.samplings["hub"], model.samplings["tiny"]
    small = {"height": SIDE, "width": SIDE, "num_inference_steps": STEPS}
    sizes = {name: tiny.call[name] for name in SIZES if name in hub.call}
    drawn: dict[Checkpoint, Sampling] = {
        checkpoint: dataclasses.replace(
            sampling,
            call={**sampling.call, **(sizes if checkpoint == "hub" else {}), **small},
            prompts=tiny.prompts[:PROMPTS],
            denoiser_calls=STEPS * sampling.denoiser_calls // sampling.call["num_inference_steps"],
            followed_pictures=None,
            sound_rate=tiny.sound_rate,
        )
        for checkpoint, sampling in model.samplings.items()
        if checkpoint in {"hub", "tiny"}
    }
    fields: dict[str, Any] = {one.name: getattr(model, one.name) for one in dataclasses.fields(model)}
    fields["samplings"] = {**model.samplings, **drawn}
    fields["limits"] = (
        *(limit for limit in model.limits if not (limit.gate in PICTURED and drawn.keys() & set(limit.checkpoints))),
        *(dataclasses.replace(limit, checkpoints=tuple(drawn)) for limit in LIMITS),
    )
    sigmas = NOISE_LEVELS.get(model.name, model.schedule.sigmas)
    fields["schedule"] = dataclasses.replace(model.schedule, sigmas=sigmas)
    return Simulated(**fields, hub_linears=LINEARS[model.name])


def install() -> None:
    """From here on the catalog of this process is the simulated host's."""
    discover = everything()

    @functools.cache
    def found() -> dict[str, Model]:
        return {name: simulated(model) for name, model in discover.items()}

    setattr(catalog, "discover", found)  # noqa: B010  imported there, not its own
