"""torch on a simulated B200: it answers as on CUDA while tensors stay in host memory.

Products of block-scaled operands are the software tensor core's; everything else is torch's own arithmetic. What runs
leaves the kernel names that a B200 would, in the profiler that torch.profiler then is, and takes the seconds that
`MULTIPLICATION_S` says, on the simulated clock. inductor generates no code: its graphs run as aot_eager's do.
"""

from __future__ import annotations

import functools
import gc
import gzip
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sympy
import torch
from torch import Tensor

from tests.suite.b200.clock import CLOCK

MULTIPLICATION_S = {"bf16": 4e-9, "mxfp8": 2.4e-9, "nvfp4": 1.2e-9}
"""Seconds of one multiplication: so slow that a toy's call takes as long as a published one, and in proportions that
clear the published floors. It says nothing about silicon."""
QUANTIZED_VALUE_S = 1e-8
COMPILATION_S = 1.0
KERNELS = {
    "bf16": "nvjet_sm100_tst_128x256_64x4_2x1_2cta_v_bz_TNT",
    "mxfp8": "nvjet_sm100_qqtst_128x256_128x4_2x1_2cta_v_bz_Avec32UE8M0_Bvec32UE8M0_TNT",
    "nvfp4": "nvjet_sm100_ootst_128x256_256x4_2x1_2cta_v_bz_Avec16UE4M3_Bvec16UE4M3_TNT",
    "attention": "cudnn_generated_fort_native_sdpa_sm100_flash_fprop_f16_knob_128",
    "fused": "triton_poi_fused_0",
    "marker": "void at::native::vectorized_elementwise_kernel<4, at::native::nextafter_kernel_cuda>",
}
ATTENTION = "scaled_dot_product"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One entry of a profile: a kernel of the device, or a call of the host's."""

    name: str
    on_device: bool
    start_ns: int = 0
    duration_ns: int = 0


@dataclass(kw_only=True)
class Device:
    """What the simulated GPU did and holds."""

    log: list[Ran] = field(default_factory=list)
    """What ran while a profiler listened."""
    listeners: int = 0
    replaying: bool = False
    """Inside a captured graph: its kernels run, and nothing of Python or of the runtime shows."""
    transient_bytes: int = 0
    """The most that one compiled graph held beside what lived on, since the peak was reset."""
    held_bytes: int = 0
    initialised: bool = False

    def ran(self, name: str, seconds: float) -> None:
        """A kernel ran."""
        start, took = CLOCK.work(seconds)
        if not self.listeners:
            return
        if not self.replaying:
            self.log.append(Ran(name="cudaLaunchKernel", on_device=False))
        self.log.append(
            Ran(name=name, on_device=True, start_ns=round(start * 1e9), duration_ns=max(1, round(took * 1e9)))
        )

    def called(self, name: str) -> None:
        """The host called an operator or the runtime; unseen in a replay."""
        if self.listeners and not self.replaying:
            self.log.append(Ran(name=name, on_device=False))

    def allocated(self) -> int:
        """Bytes of all tensors that Python reaches."""
        from torch._subclasses.fake_tensor import FakeTensor

        from fixtures.pipelines.storage import plain_tensors

        sizes: dict[int, int] = {}
        for thing in gc.get_objects():
            if issubclass(type(thing), Tensor):
                for plain in plain_tensors(thing):
                    if plain.device.type == "cpu" and not isinstance(plain, FakeTensor):
                        storage = plain.untyped_storage()
                        sizes[storage._cdata] = storage.nbytes()
        return sum(sizes.values())

    def peak(self) -> int:
        """The most since the peak was reset."""
        return max(self.held_bytes, self.allocated()) + self.transient_bytes

    def reset_peak(self) -> None:
        """Forget what was reached."""
        self.held_bytes, self.transient_bytes = self.allocated(), 0


DEVICE = Device()


class Profile:
    """torch.profiler.profile, as far as it is asked."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._from = 0
        self._seen: list[Ran] = []

    def __enter__(self) -> Profile:
        DEVICE.listeners += 1
        self._from = len(DEVICE.log)
        return self

    def __exit__(self, *_: object) -> None:
        self._seen = DEVICE.log[self._from :]
        DEVICE.listeners -= 1
        if not DEVICE.listeners:
            DEVICE.log.clear()

    def events(self) -> list[Any]:
        """Events with `name` and `device_type`."""
        kinds = torch._C._autograd.DeviceType
        return [
            SimpleNamespace(name=one.name, device_type=kinds.CUDA if one.on_device else kinds.CPU) for one in self._seen
        ]

    @property
    def profiler(self) -> Any:
        """What Kineto left."""
        events = [_Event(one) for one in self._seen]
        return SimpleNamespace(kineto_results=SimpleNamespace(events=lambda: events))

    def export_chrome_trace(self, path: str) -> None:
        """The profile in Chrome's trace event format, gzipped where the name says so."""
        kinds = {True: "kernel", False: "cpu_op"}
        text = json.dumps({"traceEvents": [{"name": one.name, "cat": kinds[one.on_device]} for one in self._seen]})
        data = text.encode()
        Path(path).write_bytes(gzip.compress(data) if path.endswith(".gz") else data)


_MANAGER: Any = SimpleNamespace(num_rerecord={None: {None: 0}})
"""torch's manager of graphs, which never recorded one anew."""


class _Event:
    """One of Kineto's events."""

    def __init__(self, ran: Ran) -> None:
        self._ran = ran

    def name(self) -> str:
        return self._ran.name

    def start_ns(self) -> int:
        return self._ran.start_ns

    def duration_ns(self) -> int:
        return self._ran.duration_ns

    def device_type(self) -> Any:
        kinds = torch._C._autograd.DeviceType
        return kinds.CUDA if self._ran.on_device else kinds.CPU

    def activity_type(self) -> str:
        return "kernel" if self._ran.on_device else "cuda_runtime"


# ---- arithmetic ----------------------------------------------------------------------------------------------------


@torch.library.custom_op("b200::scaled_mm", mutates_args=())
def _product(
    a: Tensor,
    b: Tensor,
    out_dtype: torch.dtype,
    kind: str,
    block: int,
    scale_a: Tensor,
    scale_b: Tensor,
    global_a: Tensor | None,
    global_b: Tensor | None,
    bias: Tensor | None,
    scale_result: Tensor | None,
) -> Tensor:
    from fixtures.numerics.block_formats import multiply
    from fixtures.numerics.operands import Operands

    operands = Operands(
        kind=kind,
        block=block,
        a=a,
        b=b,
        scale_a=scale_a,
        scale_b=scale_b,
        global_a=global_a,
        global_b=global_b,
        bias=bias,
        scale_result=scale_result,
        out_dtype=out_dtype,
    )
    DEVICE.called("aten::_scaled_mm")
    DEVICE.ran(KERNELS[kind], a.shape[0] * operands.inner * b.shape[1] * MULTIPLICATION_S[kind])
    return multiply(operands)


@_product.register_fake
def _shape(a: Tensor, b: Tensor, out_dtype: torch.dtype, *_: object) -> Tensor:
    return a.new_empty((a.shape[0], b.shape[1]), dtype=out_dtype)


def _multiplying(hardware: Callable[..., Tensor], reads: Callable[..., Any]) -> Callable[..., Tensor]:
    """torch's scaled matmul, which multiplies block-scaled operands here."""
    from fixtures.numerics.operands import known_kinds

    known = known_kinds()

    def scaled_mm(*args: Any, out: Tensor | None = None, **kwargs: Any) -> Tensor:
        x = reads(known, *args, **kwargs)
        if x.kind not in MULTIPLICATION_S:
            return hardware(*args, **kwargs)
        scales = (x.scale_a, x.scale_b, x.global_a, x.global_b, x.bias, x.scale_result)
        result: Tensor = _product(x.a, x.b, x.out_dtype, x.kind, x.block, *scales)
        return result if out is None else out.copy_(result)

    return scaled_mm


def _linear(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An eager Linear, whose kernel shows; of a quantized one its product does."""

    def linear(self: torch.nn.Linear, x: Tensor) -> Tensor:
        compiling = torch.compiler.is_compiling()
        if not compiling and type(self.weight) is torch.nn.Parameter and x.device.type != "meta":
            work = x.numel() * self.out_features
            DEVICE.ran(KERNELS["bf16"], work * MULTIPLICATION_S["bf16"])
        return forward(self, x)

    return linear


# ---- compiled graphs -----------------------------------------------------------------------------------------------


def _compiled(self: Any, module: torch.fx.GraphModule, inputs: Sequence[Any], **_: Any) -> Callable[..., Any]:
    """inductor's place in torch.compile: the graph as aot_eager would run it, and its kernels by name."""
    from torch._dynamo.backends.common import aot_autograd
    from torch._dynamo.utils import counters
    from torch._functorch.partitioners import min_cut_rematerialization_partition

    captured = bool(self.config.get("triton.cudagraphs"))
    counters["inductor"]["fxgraph_cache_miss"] += 1
    CLOCK.work(COMPILATION_S)
    compiler = functools.partial(_graph, captured=captured)
    made: Callable[..., Any] = aot_autograd(
        fw_compiler=compiler,
        bw_compiler=compiler,
        partition_fn=min_cut_rematerialization_partition,
        keep_inference_input_mutations=True,
    )(module, inputs)
    return made


def _graph(module: torch.fx.GraphModule, inputs: Sequence[Any], *, captured: bool) -> Callable[..., Any]:
    from torch._dynamo.backends.debugging import boxed_nop
    from torch._inductor.cudagraph_trees import CUDAGraphTreeManager

    kernels = _kernels_of(module)
    sizes = [node.meta.get("val") for node in module.graph.find_nodes(op="placeholder")]
    transient = sum(_bytes(node.meta.get("val")) for node in module.graph.nodes if node.op == "call_function")
    run = boxed_nop(module, list(inputs))

    def graph(args: list[Any]) -> Any:
        DEVICE.transient_bytes = max(DEVICE.transient_bytes, transient)
        # The manager knows no node and no function here; who is asked whether to give up recording is torch's own.
        replays = captured and not CUDAGraphTreeManager.exceed_rerecord_limit(_MANAGER, None, None)  # type: ignore[arg-type]
        if replays:
            DEVICE.called("cudaGraphLaunch")
        before, DEVICE.replaying = DEVICE.replaying, replays
        try:
            now = {
                size.node.expr: given
                for size, given in zip(sizes, args, strict=True)
                if isinstance(size, torch.SymInt) and isinstance(given, int)
            }
            for name, seconds in kernels:
                DEVICE.ran(name, seconds if isinstance(seconds, float) else float(seconds.subs(now)))
            return run(args)
        finally:
            DEVICE.replaying = before

    graph._boxed_call = True  # type: ignore[attr-defined]
    return graph


def _kernels_of(module: torch.fx.GraphModule) -> list[tuple[str, float | sympy.Expr]]:
    """(kernel, seconds) of the graph's nodes; block-scaled products come with their operator. Of a graph for any size
    they are an expression of the sizes that it is called with."""
    found: list[tuple[str, float | sympy.Expr]] = [(KERNELS["fused"], 1e-5)]
    for node in module.graph.nodes:
        name = str(node.target)
        if name.startswith(("aten.mm", "aten.addmm")):
            rows, out = map(_expression, node.meta["val"].shape)
            inner = _expression(node.args[-2].meta["val"].shape[1])
            found.append((KERNELS["bf16"], rows * out * inner * MULTIPLICATION_S["bf16"]))
        elif ATTENTION in name:
            found.append((KERNELS["attention"], 1e-4))
    return found


def _bytes(value: Any) -> int:
    leaves = [leaf for leaf in torch.utils._pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
    return sum(math.prod(map(_size, leaf.shape)) * leaf.itemsize for leaf in leaves)


def _expression(size: int | torch.SymInt) -> int | sympy.Expr:
    return size.node.expr if isinstance(size, torch.SymInt) else size


def _size(size: int | torch.SymInt) -> int:
    """Of a graph for any size: what it was in the call for which the graph was made."""
    if isinstance(size, torch.SymInt):
        hint = size.node.hint
        assert isinstance(hint, int)
        return hint
    return size


# ---- torch's own names ---------------------------------------------------------------------------------------------


def _here(device: Any) -> Any:
    """Where tensors of a device live: the GPU's in host memory."""
    if isinstance(device, str | torch.device) and torch.device(device).type == "cuda":
        return torch.device("cpu")
    return device


def _placing(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that takes a device, such as `torch.ones` or `Tensor.to`."""

    @functools.wraps(function)
    def placed(*args: Any, **kwargs: Any) -> Any:
        if "device" in kwargs:
            kwargs["device"] = _here(kwargs["device"])
        return function(*[_here(arg) if isinstance(arg, str | torch.device) else arg for arg in args], **kwargs)

    return placed


FACTORIES = ("arange", "as_tensor", "empty", "eye", "full", "linspace", "ones", "rand", "randn", "tensor", "zeros")


def _marking(function: Callable[..., Any]) -> Callable[..., Any]:
    def nextafter(*args: Any, **kwargs: Any) -> Any:
        DEVICE.ran(KERNELS["marker"], 1e-6)
        return function(*args, **kwargs)

    return nextafter


def _beginning() -> Callable[..., None]:
    """A function of its own each time: dynamo knows torch's functions by identity."""

    def begin(*_: object) -> None:
        DEVICE.initialised = True

    return begin


def install(host: Mapping[str, Any]) -> None:
    """From here on torch of this process is that of a machine with the first visible GPU of `host`."""
    import pynvml

    visible = pynvml.visible()
    if not visible:
        return
    gpu = visible[0]

    properties = SimpleNamespace(
        name=gpu["name"],
        major=gpu["sm"][0],
        minor=gpu["sm"][1],
        total_memory=gpu["memory_bytes"],
        uuid=gpu["uuid"].removeprefix("GPU-"),
        multi_processor_count=148,
        warp_size=32,
    )
    answers: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "is_initialized": lambda: DEVICE.initialised,
        "init": _beginning(),
        "_lazy_init": _beginning(),
        "_lazy_call": lambda *_, **__: None,
        "device_count": lambda: len(visible),
        "current_device": lambda: 0,
        "set_device": _beginning(),
        "get_device_properties": lambda *_: properties,
        "get_device_capability": lambda *_: tuple(gpu["sm"]),
        "get_device_name": lambda *_: gpu["name"],
        "synchronize": _beginning(),
        "empty_cache": lambda: None,
        "memory_allocated": lambda *_: DEVICE.allocated(),
        "max_memory_allocated": lambda *_: DEVICE.peak(),
        "reset_peak_memory_stats": lambda *_: DEVICE.reset_peak(),
        "mem_get_info": lambda *_: (gpu["free_bytes"], gpu["memory_bytes"]),
        "get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": lambda *_: None,
        "is_current_stream_capturing": lambda: False,
        "is_bf16_supported": lambda *_, **__: True,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)
    # Tensors live in host memory, so dynamo must not look for a stream of theirs.
    torch.accelerator.is_available = lambda: False
    from torch.utils._device import _device_constructors

    from fixtures.numerics.operands import from_scaled_mm, from_scaled_mm_v2

    # A context of a device knows torch's factories by identity: it has to see them as they were.
    _device_constructors()
    instead: list[tuple[object, str, object]] = [
        (torch.profiler, "profile", Profile),
        (torch, "_scaled_mm", _multiplying(torch._scaled_mm, from_scaled_mm)),
        (torch, "_scaled_mm_v2", _multiplying(torch._scaled_mm_v2, from_scaled_mm_v2)),
        (torch.nn.Linear, "forward", _linear(torch.nn.Linear.forward)),
        (torch._TorchCompileInductorWrapper, "__call__", _compiled),
        (torch.Tensor, "to", _placing(torch.Tensor.to)),
        (torch, "nextafter", _marking(torch.nextafter)),
        *((torch, name, _placing(getattr(torch, name))) for name in FACTORIES),
    ]
    for owner, name, value in instead:
        setattr(owner, name, value)
