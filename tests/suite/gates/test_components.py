"""Components without weights: stored is what the installed libraries compute, and a switch that turns is red."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalog import models
from fixtures.catalog.limits import Limits
from fixtures.catalog.schema import Component
from fixtures.gates.base import conclude
from fixtures.gates.components import GATE, ComponentResult, ComponentsResult
from fixtures.gates.verdict import Verdict, settle
from fixtures.pipelines.architecture import ArchitectureError
from fixtures.pipelines.components import merged, narrow_component, summary
from tests.suite.contexts import UNRECORDED, context, tiny

HEALTHY = ComponentResult(numbers=[0.5, 1.0, -2.0, 0.0], stored=[0.5, 1.0, -2.0, 0.0], parameters=7, declared=7)
EVERY = [(name, part) for name, model in models().items() for part in model.components]


def verdict(**changes: object) -> Verdict:
    """The verdict about one healthy component but for `changes`."""
    now = ComponentsResult(components={"vae": HEALTHY.model_copy(update=changes)})
    return settle(GATE.judge(now, Limits(), UNRECORDED)).verdict


@given(place=st.integers(0, 3), by=st.floats(1e-3, 9) | st.floats(-9, -1e-3) | st.just(math.nan))
def test_one_number_that_is_off_never_passes(place: int, by: float) -> None:
    numbers = list(HEALTHY.numbers)
    numbers[place] += by
    assert verdict(numbers=numbers) is (Verdict.ERROR if math.isnan(by) else Verdict.FAIL)


def test_rounding_passes_and_another_count_or_nothing_stored_does_not() -> None:
    assert verdict(numbers=[0.5, 1.00001, -2.0, 0.00001]) is Verdict.PASS
    assert verdict(parameters=8) is Verdict.FAIL
    assert verdict(numbers=[0.5]) is Verdict.FAIL
    assert verdict(stored=[]) is Verdict.ERROR
    assert settle(GATE.judge(ComponentsResult(components={}), Limits(), UNRECORDED)).verdict is Verdict.SKIP


def test_a_new_models_numbers_are_written_by_the_gate() -> None:
    now = ComponentsResult(components={"vae": HEALTHY.model_copy(update={"stored": []})})
    assert GATE.judge(now, Limits(), UNRECORDED)[-1].note.endswith("write `numbers` of its entry: 0.5, 1, -2, 0")


@pytest.mark.parametrize("name", sorted(models()))
def test_the_installed_libraries_compute_what_is_stored(name: str) -> None:
    found = conclude(GATE, context(tiny("bf16", model=name)))
    assert found.judgement.verdict is Verdict.PASS, found.judgement.message
    assert {"transformer", "vae", "text_encoder"} <= set(found.result.components)


@pytest.mark.parametrize(("model", "part"), EVERY)
def test_a_narrow_copy_leaves_sizes_out_and_no_switch(model: str, part: str) -> None:
    def sizes(narrow: object) -> bool:
        if isinstance(narrow, dict):
            return all(map(sizes, narrow.values()))
        if isinstance(narrow, list | tuple):
            return all(map(sizes, narrow))
        return isinstance(narrow, int) and not isinstance(narrow, bool)

    component = models()[model].components[part]
    assert sizes(component.narrow)
    assert set(component.narrow) <= set(component.config)


def test_a_class_or_an_option_that_is_gone_is_named() -> None:
    vae = models()["flux1-dev"].components["vae"]
    for changed, said in (
        ({"kind": "AutoencoderOfYesterday"}, "has a class AutoencoderOfYesterday; if it was renamed, change `kind`"),
        ({"config": {**vae.config, "groups": 2}}, "cannot be built from its published config: TypeError: .*'groups'"),
    ):
        with pytest.raises(ArchitectureError, match=said):
            narrow_component(dataclasses.replace(vae, **changed))


def test_a_switch_that_turns_changes_the_numbers() -> None:
    vae = models()["flux1-dev"].components["vae"]
    off: Component = dataclasses.replace(vae, config=merged(vae.config, {"mid_block_add_attention": False}))
    apart = [abs(a - b) / vae.numbers[0] for a, b in zip(summary(off), vae.numbers, strict=True)]
    assert max(apart) > 0.01
