"""Operands for the tensor core's tests: from raw codes, so that every representable value can occur."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

BLOCK = {"mxfp8": 32, "mxfp4": 32, "nvfp4": 16}
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def tiles(grid: np.ndarray) -> np.ndarray:
    """(rows, blocks) scale codes as 128x4 tiles, padded with zeros."""
    rows, blocks = grid.shape
    padded = np.zeros((math.ceil(rows / 128) * 128, math.ceil(blocks / 4) * 4), dtype=np.uint8)
    padded[:rows, :blocks] = grid
    apart = padded.reshape(padded.shape[0] // 128, 4, 32, padded.shape[1] // 4, 4)
    return np.ascontiguousarray(apart.transpose(0, 3, 2, 1, 4)).reshape(-1)


def operand(codes: np.ndarray, scales: np.ndarray, kind: str, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Elements (rows, K) and tiled scales as torch sees them. `codes` are bytes, or nibbles (rows, K) for fp4;
    `scales` are bytes (rows, K / block)."""
    if kind in {"nvfp4", "mxfp4"}:
        packed = (codes[:, 0::2] | (codes[:, 1::2] << 4)).astype(np.uint8)
        elements = torch.from_numpy(packed).view(torch.float4_e2m1fn_x2)
    else:
        elements = torch.from_numpy(codes.astype(np.uint8)).view(torch.float8_e4m3fn)
    scale_type = torch.float8_e4m3fn if kind == "nvfp4" else torch.float8_e8m0fnu
    return elements.to(device), torch.from_numpy(tiles(scales)).view(scale_type).to(device)


def finite_codes(rng: np.random.Generator, kind: str, shape: tuple[int, int]) -> np.ndarray:
    """Random element codes without e4m3's NaN."""
    if kind in {"nvfp4", "mxfp4"}:
        return rng.integers(0, 16, shape, dtype=np.uint8)
    codes = rng.integers(0, 256, shape, dtype=np.uint8)
    return np.where((codes & 0x7F) == 0x7F, 0x7E, codes).astype(np.uint8)


def finite_scales(rng: np.random.Generator, kind: str, shape: tuple[int, int]) -> np.ndarray:
    """Random scale codes near one: e4m3 from 2**-9 to 448, or e8m0 from 2**-20 to 2**20."""
    return (
        rng.integers(1, 0x7F, shape, dtype=np.uint8)
        if kind == "nvfp4"
        else rng.integers(107, 148, shape, dtype=np.uint8)
    )
