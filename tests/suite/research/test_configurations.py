"""The page of configurations is true: it has every field that differs, and names none that nothing walks."""

from __future__ import annotations

import pytest

from fixtures.catalog import models
from fixtures.research.configurations import PAGE, differing, walked


@pytest.mark.parametrize("name", sorted(models()))
def test_the_page_has_every_field_that_differs_with_both_values(name: str) -> None:
    model, text = models()[name], PAGE.read_text(encoding="utf-8")
    part = text.partition(f"## {model.title}\n")[2].partition("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("| ")][1:]
    wanted = [field.beginning for field in differing(model)]
    assert wanted
    assert len(rows) == len(wanted)
    for row, beginning in zip(rows, wanted, strict=True):
        assert row.startswith(beginning)


def test_a_switch_that_the_tiny_checkpoint_turns_off_is_walked_without_weights() -> None:
    model = models()["flux1-dev"]
    fields = {(field.component, field.name): field for field in differing(model)}
    assert walked(model, fields["vae", "mid_block_add_attention"]).startswith("components: the tiny value moves")
    assert walked(model, fields["text_encoder", "eos_token_id"]).startswith("components: the tiny value moves")
    assert walked(model, fields["transformer", "num_layers"]).startswith("a size: counted at full size")
