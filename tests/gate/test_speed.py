"""The speedup over bf16 stays above its floor, and no worse than its baseline by more than the margin."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.judge.baseline import Refusal
from fixtures.judge.speed import SpeedSamples, decisive_floors, judge_speed
from fixtures.judge.verdict import Verdict, errored, failed, settle, skipped

REHEARSED: dict[str, Any] = {"pilot_rounds": 5, "minimum": 5, "maximum": 8, "budget_seconds": 30.0}
"""Rounds of a rehearsal: enough for a ratio and an interval, which nothing judges."""


@pytest.mark.gate("speed")
def test_speedup_stays_above_floor(
    case: Case, lab: Any, gate_run: Any, conclude: Callable[..., None], benchmark: Any
) -> None:
    """Paired rounds A B A B through pytest-benchmark. Emulated, it guards what the emulation costs, and says so; a
    rehearsal measures and judges nothing."""
    from fixtures.measure.clock import CannotTime, RoundPlan, interleaved_rounds
    from fixtures.record.baseline import BaselineError
    from fixtures.record.sections import Speed

    if case.checkpoint == "random" and lab.arithmetic(case) == "emulated":
        reason = f"{case.format} is emulated here: its time at full size says nothing of hardware"
        conclude([skipped("speedup", reason)])
        return
    limits = lab.limits(case, "speed")
    found = None if lab.recording else lab.stored(case, "speed")
    if isinstance(found, BaselineError):
        conclude([failed("speed against baseline", str(found))])
        return
    baseline = (
        found
        if isinstance(found, Refusal)
        else Refusal(section="speed", reason="recording a new baseline", entitled=True)
        if found is None
        else SpeedSamples(reference_seconds=tuple(found.reference_seconds), seconds=tuple(found.seconds))
    )
    judge = partial(judge_speed, limits=limits, baseline=baseline, format=case.format, arithmetic=lab.arithmetic(case))
    reference, candidate, synchronize = lab.timed_calls(case)
    try:
        with lab.spending("time"):
            timings = interleaved_rounds(
                benchmark,
                reference,
                candidate,
                plan=RoundPlan(**REHEARSED)
                if gate_run.rehearsing
                else RoundPlan(floors=decisive_floors(limits, baseline), **lab.round_plan(case)),
                undecided=lambda samples: (
                    not gate_run.rehearsing and settle(judge(samples=samples)).verdict is Verdict.UNSURE
                ),
                synchronize=synchronize,
                progress=lambda done, total: lab.progress(f"{case.id}: round {done} of {total}"),
            )
    except CannotTime as problem:
        conclude([errored("speed", str(problem))])
        return
    samples = timings.samples
    ratio = samples.ratio()
    lab.contribute(
        case,
        "speed",
        lambda: Speed(
            seconds=list(samples.seconds),
            reference_seconds=list(samples.reference_seconds),
            ratio=ratio.ratio,
            interval=[ratio.low, ratio.high],
        ),
    )
    checks = judge(samples=samples, disturbance=timings.disturbance)
    if gate_run.rehearsing:
        measured = f"{ratio.ratio:.3g}x [{ratio.low:.3g}, {ratio.high:.3g}] in {len(samples.seconds)} rounds"
        checks = [skipped("speedup", f"a rehearsal judges no speed; measured {measured}")]
    conclude(
        checks,
        details={"seconds": samples.seconds, "reference_seconds": samples.reference_seconds, "ratio": ratio.ratio},
    )
