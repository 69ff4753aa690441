"""Which Linears are quantized, with which config, and what a library that renamed things is answered."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch

from fixtures.catalog import FORMATS, models
from fixtures.catalog.schema import Selection
from fixtures.numerics.tensor_core import software_tensor_core
from fixtures.pipelines.quantize import (
    ConfigProblem,
    changed_beside,
    config_of,
    imported,
    quantize,
    quantized_linears,
    wanted_linears,
    weight_of,
)

SELECTION = Selection(skip=("*embed*", "norm_out.linear", "proj_out"), min_features=64, source="a test's own")


class Toy(torch.nn.Module):
    """Names and widths that a selection has to tell apart."""

    def __init__(self) -> None:
        super().__init__()
        self.x_embedder = torch.nn.Linear(64, 64)
        self.norm_out = torch.nn.ModuleDict({"linear": torch.nn.Linear(64, 64)})
        self.proj_out = torch.nn.Linear(64, 64)
        self.blocks = torch.nn.ModuleList(
            [torch.nn.ModuleDict({"proj_out": torch.nn.Linear(64, 128), "to_q": torch.nn.Linear(64, 64, bias=False)})]
        )
        self.narrow = torch.nn.Linear(64, 32)
        self.conv = torch.nn.Conv2d(64, 64, 1)


@pytest.fixture
def toy() -> Toy:
    """The toy in bfloat16."""
    torch.manual_seed(0)
    return Toy().to(torch.bfloat16).requires_grad_(False)


def test_globs_match_whole_names(toy: Toy) -> None:
    assert wanted_linears(toy, SELECTION) == ["blocks.0.proj_out", "blocks.0.to_q"]


def test_both_dimensions_count_for_the_width() -> None:
    assert SELECTION.wants("a", 64, 64)
    assert not SELECTION.wants("a", 63, 4096)
    assert not SELECTION.wants("a", 4096, 63)


@pytest.mark.parametrize("name", ["fp8", "mxfp8", "nvfp4"])
def test_exactly_the_wanted_linears_change_their_class(toy: Toy, name: str) -> None:
    before = {key: value.clone() for key, value in toy.state_dict().items()}
    with software_tensor_core(device="cpu"):
        quantize(toy, FORMATS[name], SELECTION, "emulated")
    found = quantized_linears(toy)
    assert [linear.name for linear in found] == ["blocks.0.proj_out", "blocks.0.to_q"]
    assert {linear.tensor_class for linear in found} == {FORMATS[name].tensor_class}
    assert [linear.shape for linear in found] == [(128, 64), (64, 64)]
    for untouched in ("x_embedder.weight", "proj_out.weight", "narrow.weight", "blocks.0.proj_out.bias"):
        assert torch.equal(toy.state_dict()[untouched], before[untouched])
    assert type(weight_of(toy, "proj_out")) is torch.Tensor
    assert type(weight_of(toy, "blocks.0.to_q")).__name__ == FORMATS[name].tensor_class


def test_nothing_is_quantized_in_a_plain_module(toy: Toy) -> None:
    assert quantized_linears(toy) == []


def test_the_reference_has_no_config() -> None:
    with pytest.raises(ValueError, match="bf16 quantizes nothing"):
        config_of(FORMATS["bf16"], "native")


def test_emulation_changes_only_what_the_catalog_says() -> None:
    native, emulated = (config_of(FORMATS["nvfp4"], arithmetic) for arithmetic in ("native", "emulated"))
    assert native.use_triton_kernel is True
    assert emulated.use_triton_kernel is False
    assert native.use_dynamic_per_tensor_scale is emulated.use_dynamic_per_tensor_scale is True


def test_words_with_a_colon_are_imported_and_with_brackets_called() -> None:
    config = config_of(FORMATS["fp8"], "native")
    assert "PerRow" in str(config.granularity)
    assert config_of(FORMATS["mxfp8"], "native").weight_dtype is torch.float8_e4m3fn
    assert imported("collections:OrderedDict()") == {}


@pytest.mark.parametrize("path", ["torchao.quantization:NoSuchConfig", "torchao.no_such_module:Config"])
def test_a_renamed_config_says_where_to_correct_it(path: str) -> None:
    with pytest.raises(ConfigProblem, match=r"correct fixtures/catalog/formats\.py or pin the version") as caught:
        imported(path)
    assert path.partition(":")[0] in str(caught.value)


def test_a_refused_argument_says_where_to_correct_it() -> None:
    entry = dataclasses.replace(FORMATS["nvfp4"], config_kwargs={"use_dynamic_scale": True})
    with pytest.raises(ConfigProblem, match=r"refuses .*use_dynamic_scale.*; correct fixtures/catalog/formats\.py"):
        config_of(entry, "native")


IDLE = {
    "ltx-2": {
        "*patch_embed*",
        "*adaln_single*",
        "*add_q_proj*",
        "*add_k_proj*",
        "*add_v_proj*",
        "*to_add_out*",
        "*norm_out*",
    }
}
"""Published globs that aim at other models' names; the model's catalog file says so."""


@pytest.mark.parametrize("name", list(models()))
def test_published_skips_match_what_they_name(name: str) -> None:
    """A glob that matches nothing is a misspelling."""
    from fixtures.pipelines.architecture import denoiser_on_meta, linears

    model = models()[name]
    names = [linear.name for linear in linears(denoiser_on_meta(model))]
    idle = {glob for glob in model.selection.skip if not any(_skips(model.selection, glob, one) for one in names)}
    assert idle == IDLE.get(name, set())


def _skips(selection: Selection, glob: str, name: str) -> bool:
    return not dataclasses.replace(selection, skip=(glob,), min_features=0).wants(name, 1, 1)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda module: None, []),
        (lambda module: module.get_parameter("narrow.bias").data.view(torch.int16)[3].add_(1), ["narrow.bias"]),
        (lambda module: module.get_submodule("x_embedder").float(), ["x_embedder.weight", "x_embedder.bias"]),
        (lambda module: setattr(module.get_submodule("blocks.0.proj_out"), "bias", None), ["blocks.0.proj_out.bias"]),
    ],
)
def test_what_changes_beside_the_quantized_weights_is_named(
    toy: Toy, change: Callable[[torch.nn.Module], object], names: list[str]
) -> None:
    reference = copy.deepcopy(toy)
    with software_tensor_core():
        quantize(toy, FORMATS["mxfp8"], SELECTION, "emulated")
    change(toy)
    assert changed_beside(reference, toy, [linear.name for linear in quantized_linears(toy)]) == names
