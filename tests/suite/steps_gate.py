"""A gate that no table has heard of, in one file: how many matmuls the first picture took, against the baseline. Joins
where GATE_GATES names this file."""

from __future__ import annotations

from collections.abc import Mapping

from fixtures.catalog.limits import Limits
from fixtures.gates.base import DRAWN, Applies, Cost, Gate, Kept, Missing, Result, compared
from fixtures.gates.context import Context
from fixtures.gates.verdict import Check, equals


class MatmulsResult(Result):
    """Block-scaled matmuls of a run over all prompts."""

    matmuls: int


class MatmulsKept(Kept):
    """The same, as it was recorded."""

    matmuls: int

    def quantities(self) -> Mapping[str, float | str]:
        """For the table of changes."""
        return {"matmuls": float(self.matmuls)}


class Matmuls(Gate[MatmulsResult, MatmulsKept]):
    """Counts what the software tensor core multiplied."""

    name = "matmuls"
    order = 65
    asserts = "as many matmuls ran as in the baseline"
    applies = Applies(checkpoints=DRAWN, formats="quantized")
    cost = Cost(draws=True, calls=2)
    result = MatmulsResult
    kept = MatmulsKept

    def measure(self, ctx: Context) -> MatmulsResult:
        return MatmulsResult(matmuls=sum(ctx.observations.observation(ctx.case).matmuls.values()))

    def judge(self, now: MatmulsResult, limits: Limits, before: MatmulsKept | Missing) -> list[Check]:
        return compared(before, "matmuls", lambda stored: [equals("matmuls", now.matmuls, stored.matmuls)])

    def keep(self, now: MatmulsResult) -> MatmulsKept:
        return MatmulsKept(matmuls=now.matmuls)


GATE = Matmuls()
