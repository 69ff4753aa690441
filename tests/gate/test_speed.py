"""The speedup over bf16 stays above its floor, and no worse than its baseline by more than the margin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.catalog.schema import Case, Limit
from fixtures.gates.speed.costs import COST_QUANTITIES, judge_costs
from fixtures.gates.speed.device import DEVICE_QUANTITIES, DEVICE_SPEEDUP, judge_device
from fixtures.gates.speed.loss import changed_kernels, kinds_of_loss
from fixtures.gates.speed.speed import decisive_floors, judge_speed
from fixtures.gates.usable import Refusal
from fixtures.gates.verdict import Check, Verdict, errored, failed, settle, skipped

if TYPE_CHECKING:
    from fixtures.results.sections import Speed

REHEARSED: dict[str, Any] = {"pilot_rounds": 5, "minimum": 5, "maximum": 8, "budget_seconds": 30.0}
"""Rounds of a rehearsal: enough for a ratio and an interval, which nothing judges."""


@pytest.mark.gate("speed")
def test_speedup_stays_above_floor(
    case: Case, lab: Any, gate_run: Any, conclude: Callable[..., None], benchmark: Any
) -> None:
    """Paired rounds A B A B through pytest-benchmark, and at full size on the device's own clock. A red verdict says
    which kind of loss it saw, and in which kernels. Emulated, the gate guards what the emulation costs, and says so; a
    rehearsal measures and judges nothing."""
    from fixtures.gates.speed.clock import CannotTime, RoundPlan
    from fixtures.gates.speed.speedometer import measure_speed
    from fixtures.results.baseline import BaselineError, remedy
    from fixtures.results.speed import record_of, section_of

    if case.checkpoint == "random" and lab.arithmetic(case) == "emulated":
        reason = f"{case.format} is emulated here: its time at full size says nothing of hardware"
        conclude([skipped("speedup", reason)])
        return
    every = lab.limits(case, "speed")
    limits = [limit for limit in every if limit.quantity not in COST_QUANTITIES]
    found = None if lab.recording else lab.stored(case, "speed")
    if isinstance(found, BaselineError):
        conclude([failed("speed against baseline", str(found))])
        return
    recording = Refusal(section="speed", reason="recording a new baseline", entitled=True)
    refusal = found if isinstance(found, Refusal) else recording if found is None else None
    then = None if refusal is not None or found is None else record_of(found)
    lacking = Refusal(section="speed", reason=f"no device seconds in the baseline: {remedy(case.id)}", entitled=False)
    baseline = refusal or (then.wall if then else lacking)
    device_baseline = refusal or (then.device if then and then.device else lacking)
    judge = partial(judge_speed, limits=limits, baseline=baseline, format=case.format, arithmetic=lab.arithmetic(case))
    rehearsing = gate_run.rehearsing

    def more(checks: list[Check]) -> bool:
        """What is recorded is what every later night is held against: it gets all the rounds that there are."""
        return not rehearsing and (lab.recording or _unsure(checks))

    first = lab.first_call(case) or (None, None)  # before anything else compiles
    try:
        with lab.spending("time"):
            measured = measure_speed(
                benchmark,
                lab.timed_calls(case),
                plan=RoundPlan(**REHEARSED)
                if rehearsing
                else RoundPlan(floors=decisive_floors(limits, baseline), **lab.round_plan(case)),
                undecided=lambda samples: more(judge(samples=samples, limits=_wall(limits))),
                device_undecided=lambda rounds: more(
                    judge_device(device=rounds, limits=limits, baseline=device_baseline)
                ),
                progress=lambda done, total: lab.progress(f"{case.id}: round {done} of {total}"),
            )
    except CannotTime as problem:
        conclude([errored("speed", str(problem))])
        return
    now, samples = measured.record, measured.timings.samples
    ratio = samples.ratio()
    section = section_of(measured, first_call_seconds=first[0], cache_misses=first[1])
    lab.contribute(case, "speed", lambda: section)
    checks = judge(
        samples=samples,
        disturbance=measured.disturbance,
        device=now.device,
        device_baseline=device_baseline,
        no_device=measured.no_device,
    )
    if not measured.disturbance:
        before = refusal or (found.costs if found is not None else None)
        checks += judge_costs(now=section.costs, then=before, limits=every)
    if rehearsing:
        seen = f"{ratio.ratio:.3g}x [{ratio.low:.3g}, {ratio.high:.3g}] in {len(samples.seconds)} rounds"
        checks = [skipped("speedup", f"a rehearsal judges no speed; measured {seen}")]
    red = settle(checks).verdict in (Verdict.FAIL, Verdict.UNSURE)
    losses = kinds_of_loss(now, then, format=case.format) if red else []
    changes = changed_kernels(now, then, format=case.format) if red and then is not None else []
    conclude(
        checks,
        details={
            "seconds": samples.seconds,
            "reference_seconds": samples.reference_seconds,
            "ratio": ratio.ratio,
            "cost": measured.cost,
            "kinds of loss": losses,
            "kernels that changed": [asdict(change) for change in changes],
            "recompiles": measured.recompiles,
            **_second_ruler(section, bound=lab.bound(case) if case.checkpoint == "random" else None),
        },
        note="; ".join([*losses, *map(str, changes), measured.cost]),
    )


def _wall(limits: Sequence[Limit]) -> list[Limit]:
    return [limit for limit in limits if limit.quantity not in DEVICE_QUANTITIES]


def _unsure(checks: list[Check]) -> bool:
    return bool(checks) and settle(checks).verdict is Verdict.UNSURE


def _second_ruler(section: Speed, *, bound: float | None) -> dict[str, Any]:
    """What the report shows beside the verdict: device seconds, the share of the roofline, launches, energy."""
    device = section.device
    if device is None:
        return {}
    costs = section.costs.model_dump(exclude_none=True) if section.costs else {}
    roofline = {} if bound is None else {"roofline": bound, "share of roofline": device.speedup / bound}
    return {"device": device.model_dump(), DEVICE_SPEEDUP: device.speedup, **roofline, **costs}
