"""Compiling passes only whole, once and close to eager, and the steps that are run show each shape again."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalog.limits import Limits
from fixtures.catalog.schema import Limit
from fixtures.gates.base import conclude
from fixtures.gates.compile import GATE
from fixtures.gates.compile.gate import CLOSENESS, CompileResult, Remains
from fixtures.gates.compile.graphs import compile_steps
from fixtures.gates.verdict import Cause, Judgement, Verdict, settle
from fixtures.pipelines.observe import Step
from tests.suite.contexts import UNRECORDED, context, tiny

FLOOR = Limits(entries=(Limit(gate="compile", quantity=CLOSENESS, unit="dB", floor=40.0, source="a test's own"),))
HEALTHY = CompileResult(
    backend="aot_eager",
    graph_breaks=0,
    graphs=2,
    block_classes=1,
    recompiles=0,
    bit_equal=True,
    sqnr_db=320.0,
    seconds=1.0,
)


def judged(limits: Limits = FLOOR, **changes: object) -> Judgement:
    """What the gate says of a compilation that is healthy but for `changes`."""
    return settle(GATE.judge(HEALTHY.model_copy(update=changes), limits, UNRECORDED))


@given(breaks=st.integers(0, 3), graphs=st.integers(0, 3), recompiles=st.integers(0, 3), sqnr=st.floats(0, 320))
def test_compiling_passes_only_whole_once_and_close(breaks: int, graphs: int, recompiles: int, sqnr: float) -> None:
    healthy = breaks == 0 and 0 < graphs <= 2 and recompiles == 0 and sqnr >= 40.0
    found = judged(graph_breaks=breaks, graphs=graphs, recompiles=recompiles, sqnr_db=sqnr).verdict
    assert found is (Verdict.PASS if healthy else Verdict.FAIL)


@given(sqnr=st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_closeness_that_is_no_number_never_passes(sqnr: float) -> None:
    assert judged(sqnr_db=sqnr).verdict is Verdict.ERROR


@given(graphs=st.integers(1, 80), classes=st.integers(1, 4))
def test_blocks_of_a_class_share_their_graphs(graphs: int, classes: int) -> None:
    assert (judged(graphs=graphs, block_classes=classes).verdict is Verdict.PASS) == (graphs <= 2 * classes)


@given(calls=st.integers(1, 20), kept=st.integers(0, 20_000), objects=st.integers(0, 100))
def test_a_compiled_call_that_keeps_its_result_fails(calls: int, kept: int, objects: int) -> None:
    left = Remains(calls=calls, call_bytes=8192, bytes=kept, objects=objects)
    found = judged(remains={"reduce-overhead": left})
    assert (found.verdict is Verdict.PASS) == (kept / calls <= 4096 and objects <= 64), found.message


@given(text=st.text(min_size=1))
def test_whatever_the_compiler_raised_fails(text: str) -> None:
    assert judged(error=text).verdict is Verdict.FAIL


def test_compiling_without_a_floor_is_an_error_that_says_where_to_write_one() -> None:
    judgement = judged(Limits())
    assert judgement.verdict is Verdict.ERROR
    assert "add one to fixtures/catalog/common_limits.py" in judgement.message
    assert judgement.deciding is not None
    assert judgement.deciding.cause is Cause.NO_LIMIT


def steps(*lengths: int) -> list[Step]:
    """Denoiser calls whose texts have these lengths."""
    return [Step(args=(), kwargs={"text": torch.zeros(1, length)}, outputs=()) for length in lengths]


@pytest.mark.parametrize(
    ("lengths", "taken"), [((9, 9), 2), ((9, 9, 9, 9, 9), 3), ((9, 5, 9, 5), 4), ((9, 5, 9, 5, 9, 5, 9, 5), 6)]
)
def test_each_shape_is_taken_two_or_three_times(lengths: tuple[int, ...], taken: int) -> None:
    assert len(compile_steps(steps(*lengths))) == taken


@pytest.mark.parametrize("lengths", [(), (9,), (9, 5), (9, 9, 9, 5)])
def test_a_shape_that_occurs_once_is_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not repeat each of their"):
        compile_steps(steps(*lengths))


def test_a_tiny_pipeline_compiles_once_and_stays_eager() -> None:
    ctx = context(tiny("bf16"))
    found = conclude(GATE, ctx)
    assert found.judgement.verdict is Verdict.PASS, found.judgement.message
    assert found.result.graphs >= found.result.block_classes == 2
    (left,) = found.result.remains.values()
    assert (left.calls, left.bytes) == (14, 0)
