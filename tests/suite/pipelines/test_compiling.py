"""What is compiled and how: CUDA graphs of hardware arithmetic alone, and recordings from cold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._inductor.runtime.cache_dir_utils import cache_dir

from fixtures.catalog.schema import CompileMode
from fixtures.pipelines.compiling import compile_blocks, compile_from_cold


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
