"""What tests of gates about closeness draw from: values, and limits that stand in no catalog."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import strategies as st

from fixtures.catalog.limits import Limits
from fixtures.catalog.schema import Limit
from fixtures.gates.base import Missing
from fixtures.gates.verdict import Cause, Check, Verdict, settle

CEILING = 0.1
RECORDING = Missing(reason="a baseline is being recorded", cause=Cause.RECORDING)
"""Nothing is compared with a baseline."""

distances = st.lists(st.floats(0, 1), min_size=1, max_size=8)
not_numbers = st.sampled_from([math.nan, math.inf, -math.inf])
places = st.integers(0, 7)


def limits(gate: str, *, floor: float | None = None, **ceilings: float) -> Limits:
    """Ceilings by quantity; `floor` is that of the worst step."""
    bounds: dict[str, tuple[float | None, float | None]] = {name: (None, high) for name, high in ceilings.items()}
    if floor is not None:
        bounds["sqnr_worst_step"] = (floor, None)
    return Limits(
        entries=tuple(
            Limit(gate=gate, quantity=name, unit="u", source="a test's own", floor=low, ceiling=high)
            for name, (low, high) in bounds.items()
        )
    )


def passes(checks: Sequence[Check] | Check) -> bool:
    """Whether a gate with these checks is green."""
    return settle([checks] if isinstance(checks, Check) else checks).verdict is Verdict.PASS


def put(values: list[float], place: int, value: float) -> list[float]:
    """The values with one of them replaced."""
    return [value if index == place % len(values) else old for index, old in enumerate(values)]
