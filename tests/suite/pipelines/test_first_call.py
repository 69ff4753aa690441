"""The first call's seconds are a format's own: bf16 has compiled before it, whatever was selected."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

import fixtures.pipelines.observations
from fixtures.catalog import FORMATS, models
from fixtures.catalog.schema import Case
from fixtures.pipelines.built import Pipelines
from fixtures.pipelines.observations import Observations
from fixtures.pipelines.out_of_memory import OutOfMemory

FP8 = Case(model="flux1-dev", format="fp8", checkpoint="random", batch_size=1, compile_mode="reduce-overhead")
BF16 = FP8.sibling(format="bf16")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """The cases that drew, in their order; the n-th took n seconds."""
    order: list[Case] = []

    def observe(subject: Any, **_: Any) -> Any:
        order.append(subject.case)
        return SimpleNamespace(seconds=[float(len(order))], beside=[])

    monkeypatch.setattr(fixtures.pipelines.observations, "observe", observe)
    return order


def observed() -> Observations:
    built: dict[Case, Any] = {}

    def subject(case: Case) -> Any:
        made = SimpleNamespace(case=case, format=FORMATS[case.format], model=models()[case.model], warm_at=set())
        return built.setdefault(case, made)

    pipelines: Any = SimpleNamespace(subject=subject, close=built.clear)
    return Observations(pipelines=pipelines)


def test_bf16_compiles_before_a_format_whose_first_call_is_timed(drawn: list[Case]) -> None:
    seen = observed()
    assert seen.first_call(FP8) == (2.0, 0)
    assert drawn == [BF16, FP8]


def test_a_case_that_another_gate_observed_first_also_had_bf16_before_it(drawn: list[Case]) -> None:
    seen = observed()
    seen.observation(FP8)
    assert (drawn, seen.first_call(FP8)) == ([BF16, FP8, FP8], (2.0, 0))


def test_bf16_that_was_observed_already_draws_no_second_time(drawn: list[Case]) -> None:
    seen = observed()
    seen.observation(BF16)
    assert seen.first_call(FP8) == (3.0, 0)
    assert drawn == [BF16, BF16, FP8]


def test_what_is_built_anew_has_a_first_call_again_whose_seconds_nobody_is_told(drawn: list[Case]) -> None:
    seen = observed()
    told = seen.first_call(FP8)
    seen.pipelines.close()
    assert seen.first_call(FP8) == told
    assert drawn == [BF16, FP8, BF16, FP8]


@pytest.mark.parametrize(("free", "kept"), [(150, True), (149, False)])
def test_a_gpu_is_given_back_where_another_process_of_the_same_pipelines_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, free: int, kept: bool
) -> None:
    told: list[str] = []
    pipelines = Pipelines(device="cpu", capability=None, progress=told.append)
    built = pipelines.subject(replace(BF16, checkpoint="tiny", compile_mode="eager"))
    stand_ins = {"empty_cache": lambda: None, "mem_get_info": lambda _: (free, 999), "memory_allocated": lambda _: 100}
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    pipelines.device = "cuda"
    pipelines.make_way()
    assert list(pipelines.denoisers().children()) == [built.denoiser] * kept
    assert ("making way on the GPU for the new process" in told) is not kept


def test_whoever_observes_a_compiled_case_sees_no_graph_that_later_calls_do_not_take() -> None:
    """QwenImage's two lengths of text make two graphs, and the first picture would be drawn by both."""
    case = Case(model="qwen-image", format="bf16", checkpoint="tiny", batch_size=1, compile_mode="regional")
    torch._dynamo.reset()
    seen = Observations(pipelines=Pipelines(device="cpu", capability=None), calls_of=lambda _: 1)
    seen.first_call(case)
    graphs = counters["stats"]["unique_graphs"]
    assert seen.first_digest(case) == seen.draw_again(case)
    assert counters["stats"]["unique_graphs"] == graphs >= 2


def test_nothing_is_drawn_beforehand_where_nothing_compiles(drawn: list[Case]) -> None:
    seen = observed()
    eager = replace(FP8, compile_mode="eager")
    assert seen.first_call(eager) is None
    seen.observation(eager)
    assert drawn == [eager]


def test_bf16_that_ran_out_of_memory_is_not_tried_again(drawn: list[Case]) -> None:
    seen = observed()
    seen.give_up(BF16, OutOfMemory("out of memory at batch 1"))
    assert seen.first_call(FP8) == (1.0, 0)
    assert drawn == [FP8]
