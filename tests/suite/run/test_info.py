"""The top of a run's output."""

from __future__ import annotations

from fixtures.run.info import header_lines
from tests.suite.record_samples import header

NIGHTLIES = {"torch": "2.12.0.dev20261101+cu130", "torchao": "0.19.0.dev20261028", "diffusers": "0.42.1"}


def test_each_nightly_is_told_with_its_age_by_the_night_that_is_judged() -> None:
    told = header_lines(header("run", night="2026-11-02", stack=NIGHTLIES), metric="lpips-alex")
    assert told[2] == (
        "nightlies of 2026-11-02: torch 2.12.0.dev20261101+cu130 (1 day old), torchao 0.19.0.dev20261028 (5 days old)"
    )
    assert len(header_lines(header("run"), metric="lpips-alex")) == 2
