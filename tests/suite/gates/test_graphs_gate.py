"""Graphs are compared bit for bit with launches of the same code; comparing graphs with graphs proves nothing.

No graph can be captured on a CPU: what is asked of torch there is asked of stand-ins.
"""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch._inductor.cudagraph_trees import CUDAGraphTreeManager

from fixtures.catalog.limits import Limits
from fixtures.catalog.schema import Case
from fixtures.gates.base import conclude
from fixtures.gates.graphs import GATE, GraphsResult
from fixtures.gates.verdict import Judgement, Verdict, settle
from fixtures.pipelines.graphs import GIVES_UP, NoSuchName, another_step_of_equal_shapes, launched_one_by_one
from fixtures.pipelines.observe import Step
from tests.suite.contexts import UNRECORDED, context


def judged(**measured: object) -> Judgement:
    healthy = {"blocks": 57, "launched": 57, "outputs": 2, "equal": 2, "equal_after_writing": 2}
    now = GraphsResult.model_validate({**healthy, **measured})
    return settle(GATE.judge(now, Limits(), UNRECORDED))


def test_equal_predictions_pass() -> None:
    assert judged().verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("measured", "verdict", "said"),
    [
        ({"equal": 1, "largest_difference": 0.25}, Verdict.FAIL, "replayed predictions 1 equal, expected 2 equal"),
        ({"equal_after_writing": 0}, Verdict.FAIL, "replayed after writing into their inputs 0 equal"),
        ({"launched": 0}, Verdict.FAIL, "0 of 57 blocks ran without their graphs"),
        ({"outputs": 0}, Verdict.ERROR, "no two denoiser calls of equal shapes"),
        ({"missing_name": "torch.a.b"}, Verdict.ERROR, "torch has no torch.a.b any more"),
        ({"why_not": "a CPU captures no CUDA graph"}, Verdict.SKIP, "a CPU captures no CUDA graph"),
    ],
)
def test_what_is_not_proven_is_not_green(measured: dict[str, object], verdict: Verdict, said: str) -> None:
    judgement = judged(**measured)
    assert judgement.verdict is verdict
    assert said in judgement.message


def test_a_cpu_says_that_it_captures_none() -> None:
    case = Case(model="flux1-dev", format="bf16", checkpoint="tiny", batch_size=1, compile_mode="reduce-overhead")
    assert conclude(GATE, context(case)).judgement.verdict is Verdict.SKIP


def test_torch_has_the_name_that_launches_without_graphs() -> None:
    with launched_one_by_one() as ran:
        assert getattr(CUDAGraphTreeManager, GIVES_UP)(mock.Mock(), 1, 2)
    assert ran == [2]


def test_a_name_that_moved_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(CUDAGraphTreeManager, GIVES_UP)
    with pytest.raises(NoSuchName, match=f"CUDAGraphTreeManager.{GIVES_UP}"), launched_one_by_one():
        pass


def test_the_other_step_has_the_shapes_of_the_first() -> None:
    def step(length: int) -> Step:
        return Step(args=(torch.zeros(1, length),), kwargs={"scale": 1.0}, outputs=())

    steps = [step(5), step(3), step(5)]
    assert another_step_of_equal_shapes(steps) is steps[2]
    assert another_step_of_equal_shapes(steps[:2]) is None
