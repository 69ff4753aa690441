"""Products of bfloat16 operands on a CPU without instructions for them: exact products, float32 sums, one rounding."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from fixtures.numerics.cpu_bfloat16 import COMPUTED, rounded_once

OPERANDS: dict[str, tuple[object, ...]] = {
    "mm": (torch.randn(5, 64), torch.randn(64, 7)),
    "addmm": (torch.randn(7), torch.randn(5, 64), torch.randn(64, 7)),
    "bmm": (torch.randn(2, 5, 64), torch.randn(2, 64, 7)),
    "baddbmm": (torch.randn(2, 5, 7), torch.randn(2, 5, 64), torch.randn(2, 64, 7)),
    "_slow_conv2d_forward": (torch.randn(2, 3, 9, 8), torch.randn(4, 3, 3, 3), [3, 3], torch.randn(4), [2, 1], [1, 0]),
    "slow_conv3d_forward": (torch.randn(1, 3, 5, 6, 7), torch.randn(4, 3, 3, 3, 3), [3] * 3, None, [1] * 3, [1] * 3),
}


@pytest.mark.parametrize("name", COMPUTED)
def test_products_of_bfloat16_operands_are_rounded_once(name: str) -> None:
    rounded = [value.bfloat16() if isinstance(value, torch.Tensor) else value for value in OPERANDS[name]]
    exact = [value.double() if isinstance(value, torch.Tensor) else value for value in rounded]
    kernel = rounded_once(lambda *_: pytest.fail("torch's own kernel took bfloat16"), COMPUTED[name])
    got = kernel(None, *rounded)
    expected = COMPUTED[name](*exact)
    assert got.dtype is torch.bfloat16
    torch.testing.assert_close(got.double(), expected, rtol=2**-8, atol=1e-5)


def test_other_operands_take_torchs_own_kernel() -> None:
    kernel = rounded_once(lambda keys, *operands: operands[0] * 0, torch.mm)
    assert kernel(None, torch.ones(2, 2), torch.ones(2, 2)).sum() == 0
    assert kernel(None, torch.ones(2, 2).bfloat16(), torch.ones(2, 2)).sum() == 0  # which refuses mixed ones


CHECK = """
import torch
from fixtures.numerics import cpu_bfloat16
torch.ops.mkldnn._is_mkldnn_bf16_supported = lambda: {supported}
x, weight = torch.randn(1, 8, 16, 16).bfloat16(), torch.randn(8, 8, 3, 3).bfloat16()
assert (cpu_bfloat16.compute_in_float32() is None) == {supported}
assert cpu_bfloat16.compute_in_float32() is cpu_bfloat16.compute_in_float32()
rounded = torch.mm(x[0, 0], x[0, 1])
assert {supported} or torch.equal(rounded, torch.mm(x[0, 0].float(), x[0, 1].float()).bfloat16())
assert torch.equal(torch.mm(x[0, 0].double(), x[0, 1].double()), x[0, 0].double() @ x[0, 1].double())
"""


@pytest.mark.parametrize("supported", [False, True])
def test_a_cpu_with_the_instructions_keeps_torchs_own_kernels(supported: bool) -> None:
    subprocess.run([sys.executable, "-c", CHECK.format(supported=supported)], check=True)
