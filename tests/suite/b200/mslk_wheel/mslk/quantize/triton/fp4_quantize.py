"""The quantizer of activations: torchao's own torch code, under the name of mslk's kernel."""

from __future__ import annotations

import torch


def triton_quantize_nvfp4(
    x: torch.Tensor, global_scale: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(codes, two a byte; block scales in 128x4 tiles); `global_scale` is what the tensor is multiplied by."""
    from torchao.prototype.mx_formats.nvfp4_tensor import nvfp4_quantize
    from torchao.prototype.mx_formats.utils import to_blocked

    from tests.suite.b200 import silicon

    rows, width = x.reshape(-1, x.shape[-1]).shape
    per_tensor = None if global_scale is None else global_scale.reciprocal()
    scales, codes = nvfp4_quantize(x.reshape(rows, width), 16, per_tensor)
    columns = -(-(width // 16) // 4) * 4
    silicon.DEVICE.ran("quantize_nvfp4_kernel", rows * width * silicon.QUANTIZED_VALUE_S)
    tiles = to_blocked(scales.view(rows, width // 16)).view(-1, columns)
    return codes.view(*x.shape[:-1], width // 2), tiles.view(*x.shape[:-2], -1, columns)
