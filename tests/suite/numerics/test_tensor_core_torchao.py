"""torchao's own inference paths over the software tensor core: layers, weights, compilation, the meta device."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchao.prototype.mx_formats import MXDynamicActivationMXWeightConfig, NVFP4DynamicActivationNVFP4WeightConfig
from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, quantize_
from torchao.quantization.quantize_.common.kernel_preference import KernelPreference

from fixtures.numerics.decode import decode_operands, decode_weight, values
from fixtures.numerics.sqnr import sqnr_db
from fixtures.numerics.tensor_core import Multiplication, TensorCore, software_tensor_core
from tests.suite.tensor_core_cases import DEVICES

CONFIGS: dict[str, Any] = {
    "mxfp8": MXDynamicActivationMXWeightConfig(),
    "nvfp4": NVFP4DynamicActivationNVFP4WeightConfig(use_triton_kernel=False),
    "fp8": Float8DynamicActivationFloat8WeightConfig(granularity=PerRow(), set_inductor_config=False),
}
# Measured over three seeds and shapes from 64 x 64 x 64 to 512 x 1024 x 256 (torch 2.14.1, torchao 0.18.0): MXFP8 28.8
# to 29.2 dB, NVFP4 17.0 to 17.3 dB, fp8 28.7 to 29.3 dB.
LAYER_DB = {"mxfp8": (28.5, 29.5), "nvfp4": (16.1, 17.6), "fp8": (28.4, 29.6)}


def linear(inner: int, outer: int, *, bias: bool = True, device: str = "cpu", seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(inner, outer, bias=bias).to(torch.bfloat16).to(device).requires_grad_(False)


def quantized(module: nn.Module, fmt: str) -> Any:
    twin = copy.deepcopy(module)
    quantize_(twin, CONFIGS[fmt])
    return twin


def activations(*shape: int, device: str = "cpu") -> Tensor:
    torch.manual_seed(99)
    return torch.randn(*shape).to(torch.bfloat16).to(device)


def exact(layer: nn.Linear, x: Tensor) -> np.ndarray:
    product = values(x) @ values(layer.weight).T
    return product if layer.bias is None else product + values(layer.bias)


def in_software() -> Any:
    """Every format in software, whatever GPU this machine has."""
    return software_tensor_core(device_capability=(8, 0))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fmt", CONFIGS)
def test_a_layer_loses_what_its_format_loses(fmt: str, device: str) -> None:
    layer, x = linear(256, 512, device=device), activations(100, 256, device=device)
    with in_software() as core, torch.no_grad():
        result = quantized(layer, fmt)(x)
    low, high = LAYER_DB[fmt]
    assert low < sqnr_db(exact(layer, x), values(result)) < high
    assert core.calls == {fmt: 1}


@pytest.mark.parametrize("fmt", ["mxfp8", "nvfp4"])
def test_the_weight_reads_as_torchao_stored_it(fmt: str) -> None:
    layer = linear(96, 160)
    with in_software():
        weight = quantized(layer, fmt).weight
    decoded = decode_weight(weight)
    # Until 0.17.0 torchao multiplied NVFP4's two scales in bfloat16 before it dequantized.
    tolerance = 2.0**-7 if fmt == "nvfp4" else 0.0
    np.testing.assert_allclose(decoded, values(weight.dequantize(torch.float32)), rtol=tolerance)
    assert 19 < sqnr_db(values(layer.weight), decoded) < 33


@pytest.mark.parametrize("fmt", CONFIGS)
def test_what_reaches_the_tensor_core_is_the_activation_and_the_stored_weight(fmt: str) -> None:
    layer, x = linear(192, 144), activations(9, 192)
    seen: list[Multiplication] = []
    with in_software() as core, core.capture(seen.append), torch.no_grad():
        twin = quantized(layer, fmt)
        twin(x)
    a, b = decode_operands(seen[0])
    whole = getattr(twin.weight, "per_tensor_scale", None)
    np.testing.assert_array_equal(b if whole is None else b * values(whole), decode_weight(twin.weight))
    # NVFP4 leaves the activation's per-tensor scale to the caller: fit it.
    fitted = a * float(np.vdot(a, values(x)) / np.vdot(a, a))
    assert sqnr_db(values(x), fitted) > (18 if fmt == "nvfp4" else 30)


@pytest.mark.parametrize("fmt", CONFIGS)
@pytest.mark.parametrize("rows", [1, 127, 129])
def test_batches_and_rows_that_fill_no_tile(fmt: str, rows: int) -> None:
    layer, x = linear(64, 48), activations(2, rows, 64)
    with in_software(), torch.no_grad():
        twin = quantized(layer, fmt)
        together = twin(x)
        low, _ = LAYER_DB[fmt]
        assert together.shape == (2, rows, 48)
        assert sqnr_db(exact(layer, x), values(together)) > low - 2
        if fmt != "nvfp4":  # its per-tensor scale spans the batch
            assert torch.equal(together[1:], twin(x[1:]))


@pytest.mark.parametrize(("fmt", "inner"), [("mxfp8", 32), ("nvfp4", 16), ("fp8", 32)])
def test_the_smallest_inner_size(fmt: str, inner: int) -> None:
    layer, x = linear(inner, 16), activations(3, inner)
    with in_software(), torch.no_grad():
        assert sqnr_db(exact(layer, x), values(quantized(layer, fmt)(x))) > LAYER_DB[fmt][0] - 3


@pytest.mark.parametrize("fmt", CONFIGS)
def test_a_nan_spoils_its_own_row(fmt: str) -> None:
    layer, x = linear(64, 32, bias=False), activations(5, 64)
    with in_software(), torch.no_grad():
        twin = quantized(layer, fmt)
        assert not bool(twin(x).isnan().any())
        x[2, 7] = float("nan")
        spoilt = twin(x).isnan().any(dim=1)
    # NVFP4's activation scale is one number for the whole tensor, so there a NaN spoils everything.
    assert spoilt.tolist() == ([True] * 5 if fmt == "nvfp4" else [False, False, True, False, False])


@pytest.mark.parametrize("fmt", ["mxfp8", "nvfp4"])
def test_rows_of_zeros_stay_zero(fmt: str) -> None:
    """fp8 is left out, and a whole tensor of zeros for NVFP4: there torchao 0.18.0 divides by an amax of zero."""
    layer, x = linear(64, 32, bias=False), activations(5, 64)
    x[4] = 0
    with in_software(), torch.no_grad():
        twin = quantized(layer, fmt)
        assert bool((twin(x)[4] == 0).all())


def emulated(layer: nn.Linear) -> nn.Module:
    twin = copy.deepcopy(layer)
    quantize_(twin, MXDynamicActivationMXWeightConfig(kernel_preference=KernelPreference.EMULATED))
    return twin


@pytest.mark.parametrize("rows", [1, 100, 130])
def test_mxfp8_equals_torchaos_emulation_bit_for_bit_where_sums_are_exact(rows: int) -> None:
    """Small whole numbers survive MXFP8 and sum exactly in any order, so not one bit may differ."""
    layer = linear(256, 128)
    torch.manual_seed(3)
    for parameter in (layer.weight, layer.bias):
        parameter.copy_(torch.randint(-8, 9, parameter.shape))
    x = torch.randint(-8, 9, (rows, 256)).bfloat16()
    with in_software() as core, torch.no_grad():
        assert torch.equal(quantized(layer, "mxfp8")(x), emulated(layer)(x))
    assert core.calls == {"mxfp8": 1}


def test_mxfp8_equals_torchaos_emulation_but_for_the_order_of_sums() -> None:
    """torchao emulates with a bfloat16 matmul, whose float32 sums depend on the CPU: about one result in 100 000 then
    rounds to the neighbouring bfloat16 (70 of 7 264 000 on a Xeon with avx512_bf16)."""
    layer, x = linear(512, 512), activations(256, 512)
    with in_software(), torch.no_grad():
        ours, theirs = quantized(layer, "mxfp8")(x), emulated(layer)(x)
    differing = ours != theirs
    assert int(differing.sum()) <= ours.numel() // 5000
    assert bool(((ours - theirs).abs() <= theirs.abs() * 2**-7)[differing].all())


def test_threads_do_not_change_a_bit() -> None:
    layer, x = linear(768, 256), activations(130, 768)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            with in_software(), torch.no_grad():
                results.append([quantized(layer, fmt)(x) for fmt in CONFIGS])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def block() -> nn.Module:
    return nn.Sequential(linear(64, 128, seed=1), nn.GELU(), linear(128, 64, seed=2))


def compiled(module: nn.Module, **options: Any) -> Any:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    return torch.compile(module, fullgraph=True, **options)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fmt", CONFIGS)
def test_a_compiled_block_equals_eager_and_counts_every_execution(fmt: str, device: str) -> None:
    module, x = block().to(device), activations(2, 33, 64, device=device)
    seen: list[Multiplication] = []
    with in_software() as core, torch.no_grad():
        twin = quantized(module, fmt)
        eager = twin(x)
        faster = compiled(twin, backend="aot_eager")
        with core.capture(seen.append):
            first, second = faster(x), faster(x)
    assert torch.equal(first, eager)
    assert torch.equal(second, eager)
    assert core.calls == {fmt: 6}
    assert len(seen) == 4
    assert not torch._dynamo.utils.counters["graph_break"]


def test_compiled_code_outlives_the_context_uncounted() -> None:
    with in_software() as core, torch.no_grad():
        twin = compiled(quantized(block(), "mxfp8"), backend="aot_eager")
        inside = twin(activations(8, 64))
    with torch.no_grad():
        assert torch.equal(twin(activations(8, 64)), inside)
    assert core.calls == {"mxfp8": 2}


@pytest.mark.skipif("cuda" not in DEVICES, reason="inductor compiles these formats on CUDA only")
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize("fmt", CONFIGS)
def test_inductor_compiles_it_whole(fmt: str, mode: str) -> None:
    module, x = block().cuda(), activations(2, 33, 64, device="cuda")
    # Without it, inductor keeps intermediate values in float32 and NVFP4's activations round differently.
    precise = torch._inductor.config.patch(emulate_precision_casts=True)
    with in_software() as core, torch.no_grad(), precise:
        twin = quantized(module, fmt)
        eager = twin(x)
        faster = compiled(twin, mode=mode)
        results = [faster(x).clone() for _ in range(3)]
    for result in results:
        assert sqnr_db(values(eager), values(result)) > 40
    if mode == "default":
        assert core.calls == {fmt: 8}


@pytest.mark.parametrize("fmt", CONFIGS)
def test_shapes_flow_without_data(fmt: str) -> None:
    module = block().to("meta")
    with in_software() as core, torch.no_grad():
        result = quantized(module, fmt)(torch.empty(2, 33, 64, dtype=torch.bfloat16, device="meta"))
    assert (result.shape, result.device.type, result.dtype) == ((2, 33, 64), "meta", torch.bfloat16)
    assert isinstance(core, TensorCore)
    assert not core.calls
