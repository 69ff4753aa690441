"""No lane waits for ever: a limit without which a gate is an error exists, and a healthy stack can meet it."""

from __future__ import annotations

import pytest

from fixtures.catalog import FORMATS, LANES, cases_of, limit_for, models
from fixtures.catalog.common_limits import COMMON_LIMITS
from fixtures.catalog.schema import Case, Checkpoint, Lane, Limit

ANOTHER_PICTURE = 0.6
"""How far another prompt's picture lies at least: 0.62 to 0.71 with the tiny FLUX and LPIPS' AlexNet."""


def limits_of(case: Case) -> tuple[Limit, ...]:
    """All that may judge the case."""
    return (*COMMON_LIMITS, *FORMATS[case.format].limits, *models()[case.model].limits)


@pytest.mark.parametrize("checkpoint", ["tiny", "hub"])
@pytest.mark.parametrize("lane", LANES.values(), ids=list(LANES))
def test_every_gate_that_needs_a_limit_has_it(lane: Lane, checkpoint: Checkpoint) -> None:
    wanted = {("reference", "lpips_to_stored"), ("compile", "compiled against eager")}
    for case in cases_of(lane, checkpoint=checkpoint):
        needed = set(wanted)
        if models()[case.model].sampling(case.checkpoint).sound_rate is not None:
            needed.add(("reference", "sound_to_stored"))
        if lane.machine == "cpu":
            needed.add(("reference", "lpips_bf16_to_float32"))
        if not FORMATS[case.format].is_reference:
            needed |= {("arithmetic", quantity) for quantity in ("weight", "activation", "product", "linear")}
        for gate, quantity in needed:
            found = limit_for(
                limits_of(case), gate=gate, quantity=quantity, case=case, machine=lane.machine, metric="lpips-alex"
            )
            assert found is not None, f"{case.id}: nobody set {gate}.{quantity} on {lane.machine}"


@pytest.mark.parametrize("name", list(models()))
def test_broken_pictures_can_lie_as_far_beyond_a_ceiling_as_they_must(name: str) -> None:
    for limit in models()[name].limits:
        if limit.quantity == "lpips_mean" and limit.ceiling is not None:
            assert limit.control_factor >= 1.0
            assert limit.control_factor * limit.ceiling <= ANOTHER_PICTURE, limit
