"""Contexts made by hand: a gate is measured, judged and explained on the CPU without pytest, options or a run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

from fixtures.catalog import LANES
from fixtures.catalog.schema import Case, Checkpoint, Machine
from fixtures.gates.base import Gate, Kept, Missing, Result
from fixtures.gates.context import Context, Timer, no_new_process
from fixtures.gates.shown import PictureMetric, Pictures
from fixtures.gates.verdict import Cause
from fixtures.pipelines.built import Pipelines
from fixtures.pipelines.observations import Observations

R = TypeVar("R", bound=Result)
K = TypeVar("K", bound=Kept)


def tiny(
    format: str = "fp8", *, model: str = "flux1-dev", batch_size: int = 1, checkpoint: Checkpoint = "tiny"
) -> Case:
    """An eager case of a shipped tiny checkpoint."""
    return Case(model=model, format=format, checkpoint=checkpoint, batch_size=batch_size, compile_mode="eager")


@functools.cache
def tiny_observations() -> Observations:
    """The tiny checkpoints on the CPU, loaded and observed once however many tests of this process ask. A case is
    watched for two pipeline calls, and not over all its prompts."""
    return Observations(pipelines=Pipelines(device="cpu", capability=None), calls_of=lambda _: 2)


UNRECORDED = Missing(reason="nothing was recorded", cause=Cause.NO_BASELINE)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Baselines in memory: sections by gate and the stored pictures; what is not there is `missing`."""

    sections: Mapping[str, Kept] = field(default_factory=dict)
    drawn: Pictures | None = None
    missing: Missing = UNRECORDED

    def kept(self, case: Case, gate: Gate[R, K]) -> K | Missing:
        """The section of the gate's name."""
        found = self.sections.get(gate.name)
        return self.missing if found is None else cast(K, found)

    def recorded_with(self, case: Case, gate: Gate[R, K]) -> Mapping[str, str]:
        """Of no release in particular."""
        return {}

    def pictures(self, case: Case) -> Pictures | Missing:
        """The same pictures for every case."""
        return self.missing if self.drawn is None else self.drawn

    def file(self, case: Case, name: str) -> bytes | None:
        """None of it."""
        return None


NOTHING = Stored()
RECORDING = Stored(missing=Missing(reason="a baseline is being recorded", cause=Cause.RECORDING))


@dataclass(frozen=True, kw_only=True)
class MeanDifference:
    """A picture metric that is one line long: the mean absolute difference."""

    name: str = "lpips-alex"
    """As whose limits judge."""

    @dataclass(frozen=True, kw_only=True)
    class Apart:
        """A distance and where it comes from."""

        value: float
        heat_map: Pictures

    def distance(self, reference: Pictures, candidate: Pictures) -> Apart:
        """Mean over pixels and channels."""
        heat_map = np.abs(reference - candidate).mean(axis=-1)
        return self.Apart(value=float(heat_map.mean()), heat_map=heat_map)


def context(
    case: Case,
    *,
    baselines: Stored = NOTHING,
    observations: Observations | None = None,
    machine: Machine = "cpu",
    metric: Callable[[], PictureMetric] = MeanDifference,
    timer: Timer | None = None,
    recording: bool = False,
    replaying: bool = False,
    new_process: Callable[[Case], str | None] = no_new_process,
    trace_file: Callable[[Case], Path | None] = lambda _: None,
) -> Context:
    """What a gate is handed: by default the tiny checkpoints on this CPU, in the lane of `machine`, without any
    baseline and with the mean difference as the metric of pictures."""
    return Context(
        case=case,
        lane=LANES[machine],
        machine=machine,
        observations=observations or tiny_observations(),
        baselines=RECORDING if recording else baselines,
        metric=metric,
        timer=timer,
        recording=recording,
        replaying=replaying,
        new_process=new_process,
        trace_file=trace_file,
    )
