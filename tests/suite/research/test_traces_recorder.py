"""Traces are recorded by processes of their own and join those that were recorded before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.research.traces.__main__ import main
from fixtures.research.traces.read import read

BEFORE = Path(__file__).parents[1] / "traces" / "h200.npz"


def test_a_process_more_joins_the_recorded_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["--toy", "--mode", "eager", "--batch", "4", "--rounds", "3", "--processes", "1", "--first", "90"]
    monkeypatch.setattr("sys.argv", ["traces", "--out", str(tmp_path), *asked, "--add", str(BEFORE)])
    assert main() == 0
    before, now = read(BEFORE), read(tmp_path / "traces.npz")
    assert {name: sorted(set(now[name]) - set(before[name])) for name in now} == {
        name: ["90"] if name == "eager-bs4" else [] for name in before
    }
    assert now["eager-bs4"]["90"].wall.shape == (3, 10)
    np.testing.assert_array_equal(now["regional-bs1"]["0"].wall, before["regional-bs1"]["0"].wall)


def test_a_number_that_is_taken_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["traces", "--out", str(tmp_path), "--first", "8", "--add", str(BEFORE)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert f"{BEFORE} holds processes 8; choose others with --first" in capsys.readouterr().err
