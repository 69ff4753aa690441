"""Where a bisect finds nightlies."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fixtures.bisect.plan import nightly_index
from fixtures.bisect.question import PUBLIC


def test_nightlies_come_from_the_public_index_of_the_build_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert nightly_index(None, ["2.15.0.dev20261101+cu130"]) is None
    assert nightly_index("https://mine", ["2026-10-01"]) == "https://mine"
    public = {end: nightly_index(PUBLIC, ["2026-10-01", end]) or "" for end in ("2.15.0.dev1+cu132", "2.15.0.dev1+cpu")}
    assert [index.rpartition("/")[2] for index in public.values()] == ["cu132", "cpu"]
    for kind, build in (("cpu", "cpu"), ("b200", "cu130")):
        monkeypatch.setattr("fixtures.bisect.plan.detect", lambda _, kind=kind: SimpleNamespace(kind=kind))
        assert (nightly_index(PUBLIC, ["2026-10-01"]) or "").rpartition("/")[2] == build
