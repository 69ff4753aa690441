"""A format that no table has heard of, in one file: int8 with one scale a row, both operands, activations quantized on
the fly. Joins where GATE_FORMATS names this file."""

from __future__ import annotations

import numpy as np
import torch

from fixtures.catalog.common_limits import arithmetic_limits
from fixtures.catalog.schema import Format
from fixtures.numerics.base import Numerics
from fixtures.numerics.codes import Float64
from fixtures.numerics.operands import Operands


def best(x: Float64, largest: float) -> Float64:
    """Every row's largest magnitude becomes 127."""
    scale = np.maximum(np.abs(x).max(axis=1, keepdims=True) / 127.5, np.finfo(np.float32).eps)
    decoded: Float64 = np.clip(np.rint(x / scale), -128, 127) * scale
    return decoded


def read(a: torch.Tensor, b: torch.Tensor, scale_a: torch.Tensor) -> Operands:
    """torchao multiplies by the activation's scales there, and by the weight's afterwards."""
    ones = torch.ones(1, b.shape[1], dtype=scale_a.dtype, device=b.device)
    return Operands(kind="int8", a=a, b=b, scale_a=scale_a, scale_b=ones, out_dtype=scale_a.dtype)


NUMERICS = Numerics(
    name="int8",
    elements=("int8",),
    scale="float32",
    native_from=(8, 0),
    best=best,
    calls={"torchao.kernel:int_scaled_matmul": read},
)

FORMAT = Format(
    name="int8",
    title="int8, one scale a row",
    config="torchao.quantization:Int8DynamicActivationInt8WeightConfig",
    bits=8.0,
    block=None,
    scale_bytes_per_row=5,  # and a zero point of one byte
    matmul="int8",
    tensor_class="Int8Tensor",
    flops_per_bf16_flop=2.0,
    limits=arithmetic_limits(
        "int8", full=(36.0, 32.0), source="measured once on the tiny FLUX, for a test", linear=0.01, losses=(0.3, 0.3)
    ),
)
