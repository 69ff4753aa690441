"""Every speedup floor and published speedup lies below what the hardware allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.gates.verdict import against


@pytest.mark.gate("roofline")
def test_no_floor_promises_more_than_the_hardware(case: Case, lab: Any, conclude: Callable[..., None]) -> None:
    """The bound is counted from the model's own Linear and attention shapes on the meta device."""
    from fixtures.gates.roofline.work import bound

    model, fmt = lab.model(case), lab.format(case)
    limits = bound(lab.work(case.model).scaled(case.batch_size), fmt)
    cell = model.published.get((fmt.name, case.batch_size))
    floors = [
        limit.floor
        for limit in model.limits
        if limit.gate == "speed" and fmt.name in limit.formats and case.batch_size in limit.batch_sizes
    ]
    source = f"roofline of NVIDIA B200 with quantization traffic; {limits.flops:.2f}x by FLOPs alone"
    checks = [
        against("speedup floor", floor, ceiling=limits.traffic, unit="x", source=source)
        for floor in floors
        if floor is not None
    ]
    if cell is not None and cell.speedup is not None:
        checks.append(against("published speedup", cell.speedup, ceiling=limits.traffic, unit="x", source=source))
    if not checks:
        checks = [against("traffic bound", limits.traffic, floor=1.0, ceiling=limits.flops, unit="x", source=source)]
    conclude(checks, details={"bound_flops": limits.flops, "bound_traffic": limits.traffic})
