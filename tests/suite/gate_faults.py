"""Faults put into torch, torchao and diffusers, never into the suite: what a bad release would do to a user.

Each function takes pytest's `monkeypatch`, which takes the fault out again.
"""

from __future__ import annotations

import copy
import importlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

Patch = pytest.MonkeyPatch
Inject = Callable[[Patch], None]

NVFP4 = "torchao.prototype.mx_formats.nvfp4_tensor"
MX = "torchao.prototype.mx_formats.mx_tensor"
HANDLERS = "torchao.prototype.mx_formats.inference_workflow"
FLUX = "diffusers.models.transformers.transformer_flux"
FLUX_PIPELINE = "diffusers.pipelines.flux.pipeline_flux"
TORCHAO_IN_DIFFUSERS = "diffusers.quantizers.torchao.torchao_quantizer"


def around(patch: Patch, module: str, path: str, wrapper: Callable[..., Any]) -> None:
    """Replace `module`'s `path` by a call of `wrapper(original, *args, **kwargs)`."""
    *parents, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)

    def replaced(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    static = isinstance(owner, type) and isinstance(vars(owner).get(name), staticmethod)
    patch.setattr(owner, name, staticmethod(replaced) if static else replaced)


# ---- what is quantized ---------------------------------------------------------------------------------------------


def filter_drops_a_linear(patch: Patch) -> None:
    """quantize_ leaves the widest Linears out."""

    def quantize(original: Any, module: Any, config: Any, filter_fn: Any, **kwargs: Any) -> Any:
        return original(
            module, config, filter_fn=lambda m, name: filter_fn(m, name) and not name.endswith("proj_mlp"), **kwargs
        )

    around(patch, "torchao.quantization", "quantize_", quantize)


def filter_is_ignored(patch: Patch) -> None:
    """quantize_ takes every Linear, as FqnToConfig did when it ignored skips (ao 3867)."""

    def quantize(original: Any, module: Any, config: Any, **kwargs: Any) -> Any:
        kwargs["filter_fn"] = lambda m, _: isinstance(m, torch.nn.Linear) and min(m.weight.shape) >= 16
        return original(module, config, **kwargs)

    around(patch, "torchao.quantization", "quantize_", quantize)


def nothing_is_quantized(patch: Patch) -> None:
    """quantize_ returns at once, as it does for a name that it does not find."""
    around(patch, "torchao.quantization", "quantize_", lambda original, module, *args, **kwargs: module)


def other_format_is_taken(patch: Patch) -> None:
    """NVFP4's config makes MXFP8 weights."""
    config = importlib.import_module("torchao.prototype.mx_formats").MXDynamicActivationMXWeightConfig
    around(
        patch,
        "torchao.quantization",
        "quantize_",
        lambda original, module, _, **kwargs: original(module, config(), **kwargs),
    )


# ---- what is multiplied --------------------------------------------------------------------------------------------


def _nvfp4_matmul(patch: Patch, wrapper: Callable[..., Any]) -> None:
    around(patch, NVFP4, "_addmm_nvfp4_dispatch", wrapper)


def activation_scale_is_dropped(patch: Patch) -> None:
    """The activation's per-tensor scale does not reach the result (pytorch 190449)."""

    def dispatch(original: Any, a: Any, *args: Any, **kwargs: Any) -> Any:
        a = copy.copy(a)
        a.per_tensor_scale = torch.ones_like(a.per_tensor_scale)
        return original(a, *args, **kwargs)

    _nvfp4_matmul(patch, dispatch)


def bias_is_dropped(patch: Patch) -> None:
    """The bias, which NVFP4 adds apart from the matmul, is forgotten."""
    _nvfp4_matmul(patch, lambda original, a, b, op, bias=None: original(a, b, op, None))


def matmul_falls_back(patch: Patch) -> None:
    """The kernel is silently not used: operands are decoded and multiplied in bf16 (ao 3155, sglang 23625)."""

    def dispatch(original: Any, a: Any, b: Any, op: Any, bias: Any = None) -> Any:
        product = a.dequantize(torch.bfloat16) @ b.dequantize(torch.bfloat16)
        return product if bias is None else product + bias

    _nvfp4_matmul(patch, dispatch)


def matmul_runs_twice(patch: Patch) -> None:
    """A kernel that is launched twice: right numbers at twice the price."""

    def dispatch(original: Any, *args: Any, **kwargs: Any) -> Any:
        original(*args, **kwargs)
        return original(*args, **kwargs)

    _nvfp4_matmul(patch, dispatch)


def nibbles_swap(patch: Patch) -> None:
    """Both operands pack their nibbles the other way round, which products do not show (ao 3123)."""

    def pack(original: Any, codes: Any) -> Any:
        packed = original(codes)
        return (packed << 4) | (packed >> 4)

    around(patch, NVFP4, "pack_uint4", pack)


def activation_nibbles_swap(patch: Patch) -> None:
    """Only activations pack the other way round, as a kernel of another package would."""

    def quantize(original: Any, *args: Any, **kwargs: Any) -> Any:
        tensor = original(*args, **kwargs)
        if kwargs.get("act_quant_kwargs") is None:
            tensor.qdata = (tensor.qdata << 4) | (tensor.qdata >> 4)
        return tensor

    around(patch, NVFP4, "NVFP4Tensor.to_nvfp4", quantize)


def _is_mx_weight(tensor: Any) -> bool:
    # torchao 0.18 writes True into this attribute of activations.
    return type(tensor.act_quant_kwargs).__name__ == "QuantizeTensorToMXKwargs"


def mx_scale_doubles(patch: Patch) -> None:
    """Activations' block scales are off by one exponent; weights stay right."""

    def quantize(original: Any, *args: Any, **kwargs: Any) -> Any:
        tensor = original(*args, **kwargs)
        if not _is_mx_weight(tensor):
            tensor.scale = (tensor.scale.view(torch.uint8) + 1).view(torch.float8_e8m0fnu)
        return tensor

    around(patch, MX, "MXTensor.to_mx", quantize)


def mx_weight_scales_double(patch: Patch) -> None:
    """Weights are stored with block scales off by one exponent."""

    def quantize(original: Any, *args: Any, **kwargs: Any) -> Any:
        tensor = original(*args, **kwargs)
        if _is_mx_weight(tensor):
            tensor.scale = (tensor.scale.view(torch.uint8) + 1).view(torch.float8_e8m0fnu)
        return tensor

    around(patch, MX, "MXTensor.to_mx", quantize)


def mx_scales_round_down(patch: Patch) -> None:
    """Block scales are rounded down instead of up, so that the largest values of a block are cut off."""
    module: Any = importlib.import_module(MX)

    def quantize(original: Any, data: Any, dtype: Any, block: Any, mode: Any = None, *args: Any) -> Any:
        return original(data, dtype, block, module.ScaleCalculationMode.FLOOR, *args)

    around(patch, MX, "to_mx", quantize)


def scales_are_not_swizzled(patch: Patch) -> None:
    """NVFP4's block scales reach the matmul row by row instead of in tiles."""

    def to_blocked(original: Any, scales: Any, *args: Any, **kwargs: Any) -> Any:
        tiles = original(scales, *args, **kwargs)
        flat = torch.zeros_like(tiles).flatten().view(torch.uint8)
        flat[: scales.numel()] = scales.contiguous().flatten().view(torch.uint8)
        return flat.view(tiles.dtype).view(tiles.shape)

    around(patch, NVFP4, "to_blocked", to_blocked)


def fp4_rounds_down(patch: Patch) -> None:
    """fp4 conversion truncates instead of rounding to nearest even."""

    def convert(original: Any, values: Any) -> Any:
        table = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
        codes = torch.bucketize(values.abs(), table, right=True) - 1
        return (codes + 8 * (values < 0)).to(torch.uint8)

    around(patch, NVFP4, "f32_to_f4_unpacked", convert)


def one_bit_moves(patch: Patch) -> None:
    """One bit of every product's first element: nothing that anybody could see."""

    def dispatch(original: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        result.view(torch.int16).view(-1)[0] ^= 1
        return result

    _nvfp4_matmul(patch, dispatch)


def noise_is_added(patch: Patch) -> None:
    """A race: some products differ from run to run (ao 4278)."""

    def dispatch(original: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        return result * (1 + 0.01 * torch.randn_like(result))

    _nvfp4_matmul(patch, dispatch)


def products_become_nan(patch: Patch) -> None:
    """An uninitialized scale: one element of the product is no number (vllm 45741)."""

    def dispatch(original: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        result.view(-1)[0] = float("nan")
        return result

    _nvfp4_matmul(patch, dispatch)


def batches_are_refused(patch: Patch) -> None:
    """NVFP4 fails at batch sizes above one (ao 3783)."""

    def quantize(original: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        if data.shape[0] == 2:
            raise RuntimeError("shape '[1, 128]' is invalid for input of size 256")
        return original(data, *args, **kwargs)

    around(patch, NVFP4, "NVFP4Tensor.to_nvfp4", quantize)


# ---- the pipeline --------------------------------------------------------------------------------------------------


def one_more_step(patch: Patch) -> None:
    """The scheduler's default appends a step (diffusers 14447 added calls)."""

    def timesteps(original: Any, *args: Any, sigmas: Any = None, **kwargs: Any) -> Any:
        return original(*args, sigmas=[*sigmas, float(sigmas[-1]) / 2], **kwargs)

    around(patch, FLUX_PIPELINE, "retrieve_timesteps", timesteps)


def attention_scale_changes(patch: Patch) -> None:
    """Attention uses another softmax scale, in bf16 and formats alike."""

    def attention(original: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        return original(query * 1.1, *args, **kwargs)

    around(patch, FLUX, "dispatch_attention_fn", attention)


def bf16_attention_is_wrong(patch: Patch) -> None:
    """Attention in bf16 alone comes out too small: float32 does not show it."""

    def attention(original: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        return result * 0.5 if result.dtype == torch.bfloat16 else result

    around(patch, "torch.nn.functional", "scaled_dot_product_attention", attention)


def rms_norm_eps_changes(patch: Patch) -> None:
    """torch's rms_norm takes another epsilon."""
    around(
        patch,
        "torch.nn.functional",
        "rms_norm",
        lambda original, x, shape, weight=None, eps=None: original(x, shape, weight, 0.03),
    )


def noise_schedule_shifts(patch: Patch) -> None:
    """The scheduler's default shift changes: as many calls, other pictures."""
    around(patch, FLUX_PIPELINE, "calculate_shift", lambda original, *args, **kwargs: 1.5 * original(*args, **kwargs))


def rows_of_a_batch_mix(patch: Patch) -> None:
    """Every picture of a batch gets the first one's prompt."""

    def encode(original: Any, *args: Any, **kwargs: Any) -> Any:
        embeds, pooled, ids = original(*args, **kwargs)
        return embeds[:1].expand_as(embeds).contiguous(), pooled[:1].expand_as(pooled).contiguous(), ids

    around(patch, FLUX_PIPELINE, "FluxPipeline.encode_prompt", encode)


def picture_is_black(patch: Patch) -> None:
    """The VAE decodes to black whatever it gets."""

    def decode(original: Any, *args: Any, **kwargs: Any) -> Any:
        return tuple(torch.full_like(part, -1.0) for part in original(*args, **kwargs))

    around(patch, "diffusers", "AutoencoderKL.decode", decode)


# ---- compiling -----------------------------------------------------------------------------------------------------


def _single_block(patch: Patch, wrapper: Callable[..., Any]) -> None:
    around(patch, FLUX, "FluxSingleTransformerBlock.forward", wrapper)


def graph_breaks(patch: Patch) -> None:
    """Something in a block cannot be compiled (ao 2705, sglang 18336)."""

    def forward(original: Any, *args: Any, **kwargs: Any) -> Any:
        torch._dynamo.graph_break()
        return original(*args, **kwargs)

    _single_block(patch, forward)


def every_step_recompiles(patch: Patch) -> None:
    """A block depends on a number that changes from call to call."""

    def forward(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        self.seen = getattr(self, "seen", 0) + 1
        return original(self, *args, **kwargs) if self.seen else None

    _single_block(patch, forward)


def blocks_share_no_graph(patch: Patch) -> None:
    """Each block is compiled for itself: 57 times at full size instead of three times."""
    numbers = itertools.count()

    def init(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.number = next(numbers)

    def forward(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        return original(self, *args, **kwargs) if self.number >= 0 else None

    around(patch, FLUX, "FluxSingleTransformerBlock.__init__", init)
    _single_block(patch, forward)


def compiled_code_differs(patch: Patch) -> None:
    """Compiled code takes another path than eager and rounds differently."""

    def forward(original: Any, *args: Any, **kwargs: Any) -> Any:
        text, picture = original(*args, **kwargs)
        return (text, picture * 1.01) if torch.compiler.is_compiling() else (text, picture)

    _single_block(patch, forward)


def no_block_is_named(patch: Patch) -> None:
    """The denoiser no longer says which blocks repeat."""
    patch.setattr("diffusers.FluxTransformer2DModel._repeated_blocks", [])


def quantizer_looks_at_numbers(patch: Patch) -> None:
    """torchao's activation quantizer branches on a number, which no graph can hold (ao 2705)."""

    def quantize(original: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        return original(data, *args, **kwargs) if data.abs().max().item() >= 0 else None

    around(patch, NVFP4, "nvfp4_quantize", quantize)


# ---- saving and loading --------------------------------------------------------------------------------------------


def file_loses_a_scale(patch: Patch) -> None:
    """What is saved no longer holds the per-tensor scale (ao 3140)."""

    def flatten(original: Any, state: Any) -> Any:
        tensors, metadata = original(state)
        kept = {
            name: torch.ones_like(tensor) if name.endswith("per_tensor_scale") else tensor
            for name, tensor in tensors.items()
        }
        return kept, metadata

    around(patch, TORCHAO_IN_DIFFUSERS, "flatten_tensor_state_dict", flatten)


def file_holds_plain_weights(patch: Patch) -> None:
    """What is saved is decoded to bf16: it loads, and is not quantized any more."""

    def flatten(original: Any, state: Any) -> Any:
        return original(
            {
                name: tensor.dequantize() if type(tensor).__name__ == "NVFP4Tensor" else tensor
                for name, tensor in state.items()
            }
        )

    around(patch, TORCHAO_IN_DIFFUSERS, "flatten_tensor_state_dict", flatten)


def diffusers_ignores_the_list(patch: Patch) -> None:
    """`modules_to_not_convert` is accepted and ignored (diffusers 14667)."""

    def check(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        self.modules_to_not_convert = []
        return original(self, *args, **kwargs)

    around(patch, TORCHAO_IN_DIFFUSERS, "TorchAoHfQuantizer.check_if_quantized_param", check)


def diffusers_quantizes_otherwise(patch: Patch) -> None:
    """diffusers hands torchao another config than it was given."""

    def quantize(original: Any, module: Any, config: Any, *args: Any, **kwargs: Any) -> Any:
        config = copy.copy(config)
        config.use_dynamic_per_tensor_scale = False
        return original(module, config, *args, **kwargs)

    around(patch, TORCHAO_IN_DIFFUSERS, "quantize_", quantize)
