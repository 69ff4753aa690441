"""A format joins from one file: it is planned, quantized, multiplied by the tensor core, decoded and judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fixtures.catalog import FORMATS, LANES, UnknownName, cases_of, find, meta_cases, parse_case
from fixtures.catalog.schema import Selection
from fixtures.numerics.decode import decode_tiles, decode_weight, reference_matmul, values
from fixtures.numerics.ideal import ideal
from fixtures.numerics.registry import numerics
from fixtures.numerics.sqnr import relative_error, sqnr_db
from fixtures.numerics.tensor_core import Multiplication, needed, software_tensor_core
from fixtures.pipelines.quantize import quantize, quantized_linears, weight_of

FILE = Path(__file__).parents[1] / "int8_format.py"
EVERY = Selection(skip=(), min_features=1, source="a test's own")


@pytest.fixture(autouse=True)
def int8_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "int8" not in FORMATS
    assert "int8" not in numerics()
    monkeypatch.setenv("GATE_FORMATS", str(FILE))


def test_it_is_in_every_plan_that_names_no_formats() -> None:
    assert list(FORMATS)[-1] == "int8"
    planned = {case.id for case in cases_of(LANES["cpu"])}
    assert "flux1-dev/int8-tiny-bs1-eager" in planned
    assert parse_case("flux1-dev/int8-tiny-bs1-eager").format == "int8"
    assert {case.format for case in meta_cases()} >= {"int8", "nvfp4"}
    assert not any(case.format == "int8" for case in cases_of(LANES["b200"]))


@pytest.mark.parametrize("capability", [None, (9, 0)], ids=["emulated", "native"])
def test_its_products_are_watched_and_decoded(capability: tuple[int, int] | None) -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(96, 64, dtype=torch.bfloat16)
    module, plain, bias = torch.nn.Sequential(linear), values(linear.weight), values(linear.bias)
    x = torch.randn(300, 96, dtype=torch.bfloat16) * torch.arange(1, 301)[:, None].to(torch.bfloat16)
    seen: list[Multiplication] = []
    with torch.inference_mode(), software_tensor_core(device="cpu", device_capability=capability) as core:
        quantize(module, FORMATS["int8"], EVERY, "native")
        with core.capture(seen.append):
            y = module(x)
    assert [linear.tensor_class for linear in quantized_linears(module)] == [FORMATS["int8"].tensor_class]
    assert needed("int8", capability) is (capability is None)
    assert core.calls["int8"] == (1 if capability is None else 0)
    (call,) = seen
    assert call.kind == "int8"
    weight, activation = decode_weight(weight_of(module, "0")), decode_tiles(call, [0, 1, 2])
    for original, stored in ((plain, weight), (values(x), activation)):
        best = ideal("int8", original)
        assert best is not None
        assert sqnr_db(original, best) - sqnr_db(original, stored) < 0.3
        assert sqnr_db(original, stored) > 36
    assert relative_error(reference_matmul(call), values(call.result)) < 1e-6
    assert relative_error(activation @ weight.T + bias, values(y)) < 0.01
    assert np.array_equal(decode_tiles(call, [0, 2]), np.concatenate([activation[:128], activation[256:]]))


def test_a_file_that_describes_no_format_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "empty.py"
    file.write_text("FORMAT = 8\n")
    monkeypatch.setenv("GATE_FORMATS", str(file))
    with pytest.raises(UnknownName, match=r"empty.py has no FORMAT of class Format; give a file like"):
        find("format", "int8", FORMATS)
