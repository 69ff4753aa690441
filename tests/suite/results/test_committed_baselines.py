"""Every committed baseline belongs to the catalog as it stands: a changed entry must not silently make it stale."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures import ROOT
from fixtures.catalog import parse_case
from fixtures.pipelines.load import recipe_of
from fixtures.results.seal import CHECKSUM, checksum

RECORDS = sorted((ROOT / "baselines").glob("*/*/*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: f"{path.parts[-3]}/{path.parts[-2]}/{path.stem}")
def test_a_committed_baseline_is_of_the_catalogs_recipe(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["recipe"] == recipe_of(parse_case(record["case"]))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: f"{path.parts[-3]}/{path.parts[-2]}/{path.stem}")
def test_a_committed_baseline_is_as_it_was_recorded(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record[CHECKSUM] == checksum(record), "only recording writes baselines; restore it from git or record it"
