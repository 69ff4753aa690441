"""The oracle of what a format can do at best: torchao's own quantizers reach it, and none of its faults does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fixtures.catalog import FORMATS
from fixtures.catalog.schema import Selection
from fixtures.numerics.codes import Float64
from fixtures.numerics.decode import decode_weight, values
from fixtures.numerics.ideal import ideal
from fixtures.numerics.registry import numerics
from fixtures.numerics.sqnr import sqnr_db
from fixtures.numerics.tensor_core import software_tensor_core
from fixtures.pipelines.quantize import config_of, quantize, weight_of

KINDS = [name for name, entry in numerics().items() if entry.best is not None]
EVERY = Selection(skip=(), min_features=0, source="a test's own")


def quantized(name: str, weight: torch.Tensor) -> Float64:
    """What torchao stores of a weight, decoded by the suite's own reader."""
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.bfloat16)
    linear.weight.data.copy_(weight)
    module = torch.nn.Sequential(linear)
    with software_tensor_core(device="cpu"):
        quantize(module, FORMATS[name], EVERY, "emulated")
    return decode_weight(weight_of(module, "0"))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_torchao_reaches_the_best(name: str, scale: float) -> None:
    generator = torch.Generator().manual_seed(7)
    weight = (torch.randn(96, 256, generator=generator) * scale).to(torch.bfloat16)
    weight[5] = 1e-3 * scale
    original = values(weight)
    best = ideal(name, original)
    assert best is not None
    loss = sqnr_db(original, best) - sqnr_db(original, quantized(name, weight))
    # torchao computes fp8's scales in bf16, which costs a little.
    assert abs(loss) < (0.2 if name == "fp8" else 0.01), config_of(FORMATS[name], "emulated")


@pytest.mark.parametrize("name", KINDS)
def test_zeros_stay_zeros(name: str) -> None:
    assert not np.any(ideal(name, np.zeros((4, 64))))


@pytest.mark.parametrize("name", KINDS)
def test_what_a_format_holds_exactly_is_kept(name: str) -> None:
    held = np.tile(np.array([6.0, 3.0, -1.5, 0.0] * 16), (3, 1))
    best = ideal(name, held)
    assert best is not None
    assert np.allclose(best, held, rtol=0.07)


def test_the_largest_value_is_rounded_and_not_cut() -> None:
    row = np.full((1, 32), 0.01)
    row[0, 0] = 449.0
    best = ideal("mxfp8", row)
    assert best is not None
    assert best[0, 0] == 448.0
    assert np.abs(ideal("mxfp8", row * 1.01)[0, 0] - 453.5) < 10  # type: ignore[index]


def test_another_format_and_odd_blocks_have_no_best() -> None:
    assert ideal("int8", np.ones((2, 32))) is None
    assert ideal("mxfp8", np.ones((2, 48))) is None
    assert ideal("nvfp4", np.ones((2, 40))) is None


@pytest.mark.parametrize("name", KINDS)
def test_rows_that_threads_share_come_out_as_from_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(3).standard_normal((77, 128)) * np.geomspace(1e-3, 1e3, 77)[:, None]
    alone = ideal(name, x)
    assert alone is not None
    monkeypatch.setattr("fixtures.numerics.rows.SHARED_FROM", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 5)
    shared = ideal(name, x)
    assert shared is not None
    np.testing.assert_array_equal(shared, alone)
