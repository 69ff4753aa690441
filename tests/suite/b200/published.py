"""The catalog of a simulated host: what the hub holds under the published names are the tiny checkpoints, drawn small.

Every published call argument stays but those that say how large a picture is and how long it takes to draw; the
published floors of speed and ceilings of memory stay; ceilings of pictures and floors of velocities are those of what
is drawn. Nothing else of the catalog differs.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from fixtures import catalog
from fixtures.catalog.models import discover as everything
from fixtures.catalog.schema import Checkpoint, Limit, Model, Sampling, Selection
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


LINEARS = {"flux1-dev": 44, "qwen-image": 12, "ltx-2": 113}
"""How many Linears the published selection takes of each tiny denoiser."""


NOISE_LEVELS = {("flux1-dev", 2): (1.0, 0.612866)}
"""What the tiny checkpoint's scheduler sets for so many steps at its size (diffusers 0.42.1)."""


def simulated(
    model: Model, *, steps: int, prompts: int, side: int | None, limits: tuple[Limit, ...] | None
) -> Simulated:
    """The model as the hub of the simulated host has it, pictures `side` pixels wide and high; None: the tiny ones'.
    `limits` judge what is drawn; None: the tiny checkpoint's."""
    hub, tiny = model.samplings["hub"], model.samplings["tiny"]
    branches = hub.denoiser_calls // hub.call["num_inference_steps"]
    drawn = tuple(limit for limit in model.limits if "tiny" in limit.checkpoints) if limits is None else limits
    sampling = Sampling(
        call={
            **hub.call,
            **{name: tiny.call[name] for name in SIZES if name in hub.call},
            **({} if side is None else {"height": side, "width": side}),
            "num_inference_steps": steps,
        },
        prompts=tiny.prompts[:prompts],
        seed=hub.seed,
        denoiser_calls=steps * branches,
        sound_rate=tiny.sound_rate,
    )
    fields: dict[str, Any] = {one.name: getattr(model, one.name) for one in dataclasses.fields(model)}
    fields["samplings"] = {**model.samplings, "hub": sampling}
    judged: tuple[Checkpoint, ...] = ("hub",)
    if side is not None:
        smaller = {"num_inference_steps": steps, "height": side, "width": side}
        calls = steps * tiny.denoiser_calls // tiny.call["num_inference_steps"]
        fields["samplings"]["tiny"] = dataclasses.replace(
            tiny, call={**tiny.call, **smaller}, prompts=tiny.prompts[:prompts], denoiser_calls=calls
        )
        judged = ("hub", "tiny")
    fields["limits"] = (
        *(limit for limit in model.limits if not (limit.gate in PICTURED and set(judged) & set(limit.checkpoints))),
        *(dataclasses.replace(limit, checkpoints=judged) for limit in drawn if limit.gate in PICTURED),
    )
    sigmas = NOISE_LEVELS.get((model.name, steps), model.schedule.sigmas)
    fields["schedule"] = dataclasses.replace(model.schedule, sigmas=sigmas)
    return Simulated(**fields, hub_linears=LINEARS[model.name])


def install(host: Mapping[str, Any]) -> None:
    """From here on the catalog of this process is the simulated host's."""
    discover, size = everything(), host["drawn"]
    limits = LIMITS if host["toy"] else None

    @functools.cache
    def found() -> dict[str, Model]:
        return {name: simulated(model, **size, limits=limits) for name, model in discover.items()}

    setattr(catalog, "discover", found)  # noqa: B010  imported there, not its own
