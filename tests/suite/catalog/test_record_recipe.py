"""The recipe hash: moved by what produces a case's numbers, and by nothing else."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalog import FORMATS, models
from fixtures.catalog import recipe as recipe_module
from fixtures.catalog.recipe import case_recipe, recipe_hash
from fixtures.catalog.schema import Case, Format, Model, Sampling

MODEL = models()["flux1-dev"]
FORMAT = FORMATS["nvfp4"]
CASE = Case(model="flux1-dev", format="nvfp4", checkpoint="tiny", batch_size=1, compile_mode="eager")


def recipe(*, model: Model = MODEL, format_entry: Format = FORMAT, case: Case = CASE, extra: object = None) -> str:
    """The recipe of the case with one part replaced."""
    return case_recipe(case=case, model=model, format_entry=format_entry, extra=extra)


def test_the_hash_is_the_same_in_every_process_and_for_every_order_of_keys() -> None:
    known = recipe_hash({"b": (1, 2.5, None), "a": {"x", "y"}}, True, "é")
    program = (
        "from fixtures.catalog.recipe import recipe_hash;"
        "print(recipe_hash({'a': {'y', 'x'}, 'b': [1, 2.5, None]}, True, 'é'))"
    )
    root = Path(__file__).resolve().parents[3]
    told = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == known == "08d040067f35c5b44816af7702e3e305ff8d6ff59bfadd6f6399a9c11809c188"


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@given(plain, plain)
def test_different_data_have_different_hashes(one: Any, other: Any) -> None:
    assert (recipe_hash(one) == recipe_hash(other)) is (repr(tidy(one)) == repr(tidy(other)))


def tidy(value: Any) -> Any:
    """The same data with mapping keys in one order."""
    if isinstance(value, dict):
        return "mapping", sorted((repr(key), repr(tidy(item))) for key, item in value.items())
    return [tidy(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("one", "other"), [(1, "1"), (1, True), ({1: 2}, {"1": 2}), ([], {}), (None, "null"), ((1,), 1)]
)
def test_lookalikes_differ(one: object, other: object) -> None:
    assert recipe_hash(one) != recipe_hash(other)


def test_tuples_and_lists_are_the_same_data() -> None:
    assert recipe_hash((1, 2)) == recipe_hash([1, 2])
    assert recipe_hash(MappingProxyType({"a": 1})) == recipe_hash({"a": 1})


@pytest.mark.parametrize("value", [object(), Path("a"), b"bytes", lambda: 1])
def test_what_has_no_lasting_text_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="cannot hold"):
        recipe_hash(value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        recipe_hash(value)


def test_limits_titles_and_published_figures_do_not_move_the_recipe() -> None:
    changed = dataclasses.replace(MODEL, title="other", licence="other", limits=(), published={})
    assert recipe(model=changed) == recipe()
    assert recipe(format_entry=dataclasses.replace(FORMAT, title="other", flops_per_bf16_flop=9.0)) == recipe()


def test_what_draws_the_pictures_moves_the_recipe() -> None:
    sampling = MODEL.sampling("tiny")
    samplings = {
        "seed": dataclasses.replace(sampling, seed=sampling.seed + 1),
        "prompts": dataclasses.replace(sampling, prompts=sampling.prompts[::-1]),
        "call": dataclasses.replace(sampling, call={**sampling.call, "guidance_scale": 99.0}),
    }
    changed = [dataclasses.replace(MODEL, samplings={**MODEL.samplings, "tiny": other}) for other in samplings.values()]
    skipping = dataclasses.replace(MODEL.selection, skip=(*MODEL.selection.skip, "*.to_q"))
    recipes = {recipe(model=model) for model in (*changed, dataclasses.replace(MODEL, selection=skipping))}
    recipes |= {
        recipe(model=dataclasses.replace(MODEL, tiny_min_features=1)),
        recipe(format_entry=dataclasses.replace(FORMAT, config="torchao.other.Config")),
        recipe(format_entry=dataclasses.replace(FORMAT, config_kwargs={"x": 1})),
        recipe(case=CASE.sibling(batch_size=2)),
        recipe(extra="other weights"),
    }
    assert len(recipes | {recipe()}) == 10


def test_a_hub_revision_moves_only_what_is_drawn_with_published_weights() -> None:
    moved = dataclasses.replace(MODEL, revision="other")
    hub = dataclasses.replace(CASE, checkpoint="hub")
    assert recipe(model=moved) == recipe()
    assert recipe(model=moved, case=hub) != recipe(case=hub)


def test_every_field_that_is_left_out_exists() -> None:
    fields = {field.name for entry in (Model, Format, Sampling) for field in dataclasses.fields(entry)}
    named = [value for name, value in vars(recipe_module).items() if name.startswith("_") and isinstance(value, set)]
    assert named
    assert set().union(*named) <= fields
