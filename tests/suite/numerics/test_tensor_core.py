"""The software tensor core as a context: what it replaces, restores, passes on, refuses and counts."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fixtures.numerics import tensor_core
from fixtures.numerics.tensor_core import Multiplication, needed, software_tensor_core
from tests.suite.tensor_core_cases import finite_codes, finite_scales, operand

WORKFLOW = "torchao.prototype.mx_formats.inference_workflow"
Call = Callable[[], Tensor]


def namespaces() -> dict[str, dict[str, int]]:
    """What every loaded module of torchao, and torch itself, holds under each name."""
    modules = {
        name: module for name, module in sys.modules.items() if name.split(".")[0] == "torchao" or name == "torch"
    }
    held: dict[str, Any] = {name: vars(module) for name, module in modules.items()}
    held["operator"] = operators()
    return {name: {key: id(value) for key, value in attributes.items()} for name, attributes in held.items()}


def operators() -> dict[str, Any]:
    """What torch's operator calls, under each of its names."""
    packet = torch.ops.aten._scaled_mm
    both = {"packet": packet, **{name: getattr(packet, name) for name in packet.overloads()}}
    return {
        f"{name} {key}": getattr(one, key, None) for name, one in both.items() for key in ("_op", "_pyobj_dispatcher")
    }


def mxfp8_operands() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = np.random.default_rng(0)
    a, b = (
        operand(finite_codes(rng, "mxfp8", (r, 64)), finite_scales(rng, "mxfp8", (r, 2)), "mxfp8") for r in (20, 16)
    )
    return a[0], b[0].t(), a[1], b[1]


def mxfp8_call(**extra: Any) -> Call:
    operands = mxfp8_operands()
    options: dict[str, Any] = {"out_dtype": torch.bfloat16, **extra}
    return lambda: torch._scaled_mm(*operands, **options)


def fp8_call() -> Call:
    a, b = torch.ones(4, 32).to(torch.float8_e4m3fn), torch.ones(16, 32).to(torch.float8_e4m3fn)
    one = torch.tensor(1.0)
    return lambda: torch._scaled_mm(a, b.t(), one, one, out_dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("fmt", "capability", "wanted"),
    [
        ("fp8", None, True),
        ("fp8", (8, 0), True),
        ("fp8", (8, 9), False),
        ("mxfp8", (9, 0), True),
        ("nvfp4", (9, 0), True),
        ("mxfp8", (10, 0), False),
        ("nvfp4", (12, 0), False),
    ],
)
def test_software_is_needed_only_where_hardware_cannot(fmt: str, capability: Any, wanted: bool) -> None:
    assert needed(fmt, capability) is wanted


@pytest.mark.parametrize(
    ("device", "wanted"), [("cpu", None), ("cuda", (10, 0)), (None, (10, 0)), (torch.device("cuda"), (10, 0))]
)
def test_a_pipeline_on_the_cpu_of_a_gpu_machine_gets_everything(
    device: Any, wanted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module(WORKFLOW)  # not while a GPU is pretended: torchao would define that GPU's kernels
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (10, 0))
    with software_tensor_core(device=device) as core:
        assert core.capability == wanted
        assert bool(core.emulated) is (wanted is None)


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(ValueError, match="unknown format 'int3'; the tensor core knows fp8, mxfp4, mxfp8, nvfp4"):
        needed("int3", None)


def test_everything_is_restored_on_exit() -> None:
    importlib.import_module(WORKFLOW)
    before = namespaces()
    with software_tensor_core(device_capability=(8, 0)):
        assert namespaces() != before
    assert namespaces() == before


def test_everything_is_restored_after_an_exception() -> None:
    importlib.import_module(WORKFLOW)
    before = namespaces()
    with pytest.raises(KeyError), software_tensor_core(device_capability=(8, 0)) as core, core.capture(print):
        raise KeyError("a fault inside")
    assert namespaces() == before
    assert not tensor_core._active


def test_nothing_is_left_behind_when_entering_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(lifted: object) -> Any:
        raise ImportError("torchao is broken tonight")

    hardware = torch._scaled_mm
    monkeypatch.setattr(tensor_core, "answers", broken)
    with pytest.raises(ImportError, match="broken tonight"), software_tensor_core(device_capability=(8, 0)):
        pass
    assert torch._scaled_mm is hardware
    assert not tensor_core._active


def test_contexts_nest_and_both_count() -> None:
    call = mxfp8_call()
    hardware = torch._scaled_mm
    with software_tensor_core(device_capability=(8, 0)) as outer:
        call()
        with software_tensor_core(device_capability=(8, 0)) as inner:
            call()
        call()
        assert torch._scaled_mm is not hardware
    assert outer.calls == {"mxfp8": 3}
    assert inner.calls == {"mxfp8": 1}


def test_a_nested_context_of_another_capability_is_refused() -> None:
    with (
        software_tensor_core(device_capability=(9, 0)),
        pytest.raises(ValueError, match=r"capability \(9, 0\) is already active; leave it before asking for \(8, 0\)"),
        software_tensor_core(device_capability=(8, 0)),
    ):
        pass


def test_nothing_is_patched_where_hardware_has_everything() -> None:
    importlib.import_module(WORKFLOW)
    before = namespaces()
    with software_tensor_core(device_capability=(10, 0)) as core:
        assert namespaces() == before
        assert not core.emulated


def test_fp8_is_left_to_hardware_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[tuple[Any, Any]] = []
    hardware = torch._scaled_mm

    def stand_in(*args: Any, **kwargs: Any) -> Tensor:
        received.append((args, kwargs))
        return hardware(*args, **kwargs)

    monkeypatch.setattr(torch, "_scaled_mm", stand_in)
    with software_tensor_core(device_capability=(9, 0)) as core:
        result = fp8_call()()
        mxfp8_call()()
    (args, kwargs) = received[0]
    assert len(received) == 1
    assert args[0].dtype == torch.float8_e4m3fn
    assert kwargs == {"out_dtype": torch.bfloat16}
    assert bool((result == 32).all())
    assert core.calls == {"mxfp8": 1}


def test_what_the_hardware_multiplies_is_captured_too() -> None:
    hardware = torch._scaled_mm
    for capability in [(9, 0), (10, 0)]:
        seen: list[Multiplication] = []
        with software_tensor_core(device_capability=capability) as core:
            with core.capture(seen.append), core.capture(seen.append):
                result = fp8_call()()
            fp8_call()()
        assert [call.kind for call in seen] == ["fp8", "fp8"]
        assert seen[0].result is result
        assert torch._scaled_mm is hardware
        assert not core.calls


def test_capture_sees_operands_and_result() -> None:
    seen: list[Multiplication] = []
    bias = torch.ones(16).bfloat16()
    call = mxfp8_call(bias=bias)
    with software_tensor_core(device_capability=(8, 0)) as core:
        call()
        with core.capture(seen.append):
            result = call()
        call()
    assert core.calls == {"mxfp8": 3}
    assert len(seen) == 1
    assert (seen[0].a.shape, seen[0].b.shape, seen[0].inner) == ((20, 64), (64, 16), 64)
    assert seen[0].bias is not None
    assert torch.equal(seen[0].bias, bias)
    assert torch.equal(seen[0].result, result)


def test_only_the_handlers_guards_are_lifted() -> None:
    """mx_tensor asks the same guard whether it may emit Blackwell's PTX: there the answer stays truthful."""
    workflow = importlib.import_module(WORKFLOW)
    mx_tensor = importlib.import_module("torchao.prototype.mx_formats.mx_tensor")
    guard = importlib.import_module("torchao.utils").is_sm_at_least_100
    with software_tensor_core(device_capability=(9, 0)):
        assert workflow.is_sm_at_least_100()
        assert getattr(mx_tensor, "is_sm_at_least_100", guard) is guard
        assert importlib.import_module("torchao.utils").is_sm_at_least_100 is guard


def test_a_guard_is_found_under_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = importlib.import_module(WORKFLOW)
    guard = importlib.import_module("torchao.utils").is_sm_at_least_100
    monkeypatch.setattr(workflow, "has_blackwell", guard, raising=False)
    with software_tensor_core(device_capability=(9, 0)):
        assert workflow.has_blackwell() is True
    assert workflow.has_blackwell is guard


def test_fp8s_own_check_keeps_its_other_half() -> None:
    from torchao.quantization import PerRow, PerTensor, quant_api

    with software_tensor_core(device_capability=(8, 0)):
        quant_api._check_hardware_support([PerRow(), PerRow()])
        with pytest.raises(ValueError, match="granularit"):
            quant_api._check_hardware_support([PerRow(), PerTensor()])


def test_a_product_is_written_where_the_caller_planned_it() -> None:
    """Inductor's code calls `torch._scaled_mm(..., out=buffer)`."""
    call = mxfp8_call()
    with software_tensor_core(device="cpu"):
        expected = call()
        buffer = torch.empty_like(expected)
        returned = mxfp8_call(out=buffer)()
    assert returned is buffer
    assert torch.equal(buffer, expected)


@pytest.mark.parametrize("backend", [None, "aot_eager"])
@pytest.mark.parametrize("way", ["packet", "overload", "imported name"])
def test_every_way_to_the_hardware_is_supplied(monkeypatch: pytest.MonkeyPatch, way: str, backend: str | None) -> None:
    """A refactoring of torchao is no regression."""
    module = ModuleType("torchao.somewhere")
    vars(module)["multiply"] = torch._scaled_mm
    monkeypatch.setitem(sys.modules, module.__name__, module)
    a, b, scale_a, scale_b = mxfp8_operands()

    def product() -> Tensor:
        call = {
            "packet": torch.ops.aten._scaled_mm,
            "overload": torch.ops.aten._scaled_mm.default,
            "imported name": module.multiply,
        }[way]
        result: Tensor = call(a, b, scale_a, scale_b, None, None, torch.bfloat16)
        return result

    before = torch._scaled_mm, operators()
    with software_tensor_core(device="cpu") as core:
        expected = mxfp8_call()()
        call = product if backend is None else torch.compile(product, backend=backend, fullgraph=True)
        assert torch.equal(call(), expected)
    assert core.calls == {"mxfp8": 2}
    assert (torch._scaled_mm, operators()) == before
    assert module.multiply is torch._scaled_mm
