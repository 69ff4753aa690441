"""mslk's NVFP4 quantizer on a simulated B200: the installed library's host code, torchao's torch code for its kernel.

Without bytes (meta tensors) the library's own kernel is what is interpreted.
"""

from __future__ import annotations

import functools
from types import ModuleType
from unittest import mock

import torch

LEAST_SCALE = 2.0**-16
"""mslk's floor of block scales (E4M3_EPS of mslk-cuda 1.1.0), which torchao's code has as 2^-6."""


def install(module: ModuleType) -> None:
    """From here on `mslk.quantize.triton.fp4_quantize` needs no GPU."""
    native = module.triton_quantize_nvfp4

    @functools.wraps(native)
    def quantize(
        x: torch.Tensor, global_scale: torch.Tensor | None = None, *options: bool, **named: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if x.device.type == "meta":
            found: tuple[torch.Tensor, torch.Tensor] = native(x, global_scale, *options, **named)
            return found
        return _quantize(x, global_scale)

    module.triton_quantize_nvfp4 = quantize  # type: ignore[attr-defined]


def _quantize(x: torch.Tensor, global_scale: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """(codes, two a byte; block scales in 128x4 tiles); `global_scale` is what the tensor is multiplied by."""
    from torchao.prototype.mx_formats import nvfp4_tensor
    from torchao.prototype.mx_formats.utils import to_blocked

    from tests.suite.b200 import silicon

    flat = x.reshape(-1, x.shape[-1])
    rows, width = flat.shape
    with mock.patch.object(nvfp4_tensor, "E4M3_EPS", LEAST_SCALE):
        whole = None if global_scale is None else global_scale.reciprocal()
        scales, codes = nvfp4_tensor.nvfp4_quantize(flat, 16, whole)
    columns = -(-(width // 16) // 4) * 4
    silicon.DEVICE.ran("quantize_nvfp4_kernel", rows * width * silicon.QUANTIZED_VALUE_S)
    tiles = to_blocked(scales.view(rows, width // 16)).view(-1, columns)
    return codes.view(*x.shape[:-1], width // 2), tiles.view(*x.shape[:-2], -1, columns)
