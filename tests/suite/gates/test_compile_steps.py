"""What is compiled, how, and which denoiser calls the compile gate runs: each shape to warm up, and again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._inductor.runtime.cache_dir_utils import cache_dir

from fixtures.catalog.schema import CompileMode
from fixtures.gates.compile.graphs import compile_steps
from fixtures.pipelines.compiling import compile_blocks, compile_from_cold
from fixtures.pipelines.observe import Step


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


class Block(torch.nn.Module):
    """A repeated block."""


class Denoiser(torch.nn.Module):
    """Keeps what diffusers' `compile_repeated_blocks` would be told."""

    _repeated_blocks = ("Block",)

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.told: dict[str, Any] = {}

    def compile_repeated_blocks(self, **options: Any) -> None:
        self.told = options
        self.block._compiled_call_impl = compiled


def compiled(*args: Any) -> Any:
    """What a compiled block calls."""
    return args


@pytest.mark.parametrize(
    ("mode", "graphs", "captured"),
    [("reduce-overhead", True, True), ("reduce-overhead", False, False), ("regional", True, False)],
)
def test_cuda_graphs_are_captured_of_hardware_arithmetic_alone(mode: CompileMode, graphs: bool, captured: bool) -> None:
    denoiser = Denoiser()
    compile_blocks(denoiser, mode=mode, backend="inductor", graphs=graphs)
    assert denoiser.told == {"fullgraph": True, "backend": "inductor", **({"mode": mode} if captured else {})}
    assert (denoiser.block._compiled_call_impl is not compiled) == captured  # outputs of a graph are cloned


def test_a_recording_compiles_into_an_empty_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(variable, "warm")
    first, second = compile_from_cold(), compile_from_cold()
    assert first != second
    assert cache_dir() == str(second / "inductor")
    assert list(second.glob("*/*")) == []
