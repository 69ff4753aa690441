"""Trends: planted steps and creep are found, flat histories stay quiet, and the page shows them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fixtures.gates.base import Quantity
from fixtures.gates.memory.gate import MemoryKept
from fixtures.gates.speed.result import SpeedKept
from fixtures.gates.velocity import VelocityKept
from fixtures.gates.verdict import against
from fixtures.results.baseline import baseline_of
from fixtures.results.history import Entry, HistoryDamaged, Point, append, forget, last_green, points_of, read_history
from fixtures.results.run import read_run
from fixtures.trend.__main__ import main
from fixtures.trend.changes import find_changes
from fixtures.trend.series import moved, recorded, series_of
from tests.suite.record_samples import DEVICE, record, write_run

NIGHTS = 60
EVIL = "<script>alert(1)</script>"


def flat(rng: np.random.Generator, kind: str) -> npt.NDArray[np.float64]:
    """Speedups of healthy nights."""
    noise = rng.standard_t(3, size=NIGHTS) if kind == "t3" else rng.normal(size=NIGHTS)
    noise -= (rng.random(NIGHTS) < 0.05) * 8 * (kind == "wild")
    values: npt.NDArray[np.float64] = 1.45 + 0.01 * noise * (kind != "counts")
    return values


@pytest.mark.parametrize("kind", ["gauss", "t3", "wild", "counts"])
def test_flat_histories_raise_no_alarm(kind: str) -> None:
    rng = np.random.default_rng(7)
    assert sum(bool(find_changes(flat(rng, kind))) for _ in range(25)) <= (kind == "wild")


@pytest.mark.parametrize("size", [-0.05, 0.04])
def test_a_step_is_dated(size: float) -> None:
    rng = np.random.default_rng(1)
    for at in (12, 30, 50):
        values = flat(rng, "gauss")
        values[at:] += size
        (change,) = find_changes(values)
        assert change.kind == "step"
        assert abs(change.at - at) <= 1
        assert change.after - change.before == pytest.approx(size, abs=0.012)


def test_creep_below_every_limit_is_seen() -> None:
    """3 % in all over 60 nights with 0.7 % of noise: no single night is near a limit."""
    rng = np.random.default_rng(2)
    for begins in (0, 20):
        values = flat(rng, "gauss") - 0.06 * np.maximum(0, np.arange(NIGHTS) - begins) / (NIGHTS - 1 - begins)
        (change,) = find_changes(values)
        assert change.kind == "creep"
        assert abs(change.at - begins) <= 12
        assert change.relative == pytest.approx(-0.04, abs=0.012)


def test_two_steps_and_a_count_that_changed() -> None:
    rng = np.random.default_rng(3)
    values = flat(rng, "gauss")
    values[20:40] -= 0.08
    assert [(change.kind, change.at) for change in find_changes(values)] == [("step", 20), ("step", 40)]
    counts = np.full(NIGHTS, 494.0)
    counts[31:] = 493
    assert [(change.at, change.before, change.after) for change in find_changes(counts)] == [(31, 494, 493)]


def test_short_histories_say_nothing() -> None:
    assert find_changes([1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0]) == []


CASE = "flux1-dev/nvfp4-hub-bs1-regional"


def point(
    gate: str, quantity: str, unit: str, value: float, case: str, better: bool | None = None, **bounds: float
) -> Point:
    told = {"case": case, "gate": gate, "quantity": quantity, "unit": unit, "value": value, "verdict": "pass"}
    return Point.model_validate({**told, **bounds, "higher_is_better": better})


def night(number: int, value: float, *, torchao: str, case: str = CASE) -> Entry:
    return Entry(
        schema=2,
        run=f"202611{number:02d}-run",
        started_at=f"2026-{8 + number // 28:02d}-{1 + number % 28:02d}T02:00:00+00:00",
        lane="b200",
        device=DEVICE,
        stack={"torch": "2.14.1", "torchao": torchao},
        verdict="green",
        points=[
            point("speed", "speedup", "x", value, case, floor=1.3),
            point("memory", "saved", "GB", 17.0, case, floor=16.8, ceiling=17.2),
        ],
    )


@pytest.fixture
def history(tmp_path: Path) -> Path:
    rng = np.random.default_rng(4)
    folder = tmp_path / "history"
    folder.mkdir()
    for number in range(40):
        late = number >= 25
        entry = night(number, 1.5 - 0.06 * late + 0.005 * rng.normal(), torchao="0.19" if late else "0.18")
        (folder / f"{entry.run}.json").write_text(entry.model_dump_json(by_alias=True))
    return folder


def test_page_shows_what_got_worse_first_and_names_the_stack_that_moved(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--history", str(history)]) == 0
    said = capsys.readouterr().out
    assert "speed: speedup: step from 1.5" in said
    assert "worse) since 2026-08-26; torchao 0.18 -> 0.19" in said
    page = (history.parent / "trend.html").read_text()
    assert "of 2 numbers got worse over 40 runs" in page
    assert page.index("step, worse") < page.index("numbers did not change")
    for reference in ("http://", "https://", "src=", "@import"):
        assert reference not in page
    assert page.count('class="line measured"') == 2


def test_a_value_says_its_run_its_stack_and_its_limits_and_a_moved_stack_is_marked(history: Path) -> None:
    assert main(["--history", str(history)]) == 0
    page = (history.parent / "trend.html").read_text()
    assert re.search(
        r"<title>1\.\d+x, floor 1\.3x: pass\n2026-08-01 02:00 UTC, run \S+\ntorch 2\.14\.1, torchao 0\.18<", page
    )
    assert page.count("<title>torchao 0.18 -&gt; 0.19</title>") == 2, "once in each chart"
    assert "stack: 2026-08-26 torchao 0.18 -&gt; 0.19" in page


def test_a_run_that_was_cut_short_is_in_the_history_as_that(history: Path, tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "results", red=False, killed=True))
    append(run, history)
    cut = next(entry for entry in read_history(history) if entry.run == run.name)
    assert (cut.verdict, cut.finished) == ("unfinished", False)
    assert main(["--history", str(history)]) == 0
    page = (history.parent / "trend.html").read_text()
    assert f"Unfinished: {run.name}." in page
    assert 'class="dot pass cut"' in page
    forget(run.name, history)
    assert all(entry.finished for entry in read_history(history))


@pytest.mark.parametrize(("nights", "says"), [(1, "1 run, nothing to compare"), (7, "7 runs, too few")])
def test_few_runs_claim_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], nights: int, says: str) -> None:
    (tmp_path / "history").mkdir()
    for number in range(nights):
        entry = night(number, 1.5, torchao="0.18")
        (tmp_path / "history" / f"{entry.run}.json").write_text(entry.model_dump_json(by_alias=True))
    assert main(["--history", str(tmp_path / "history")]) == 0
    assert says in capsys.readouterr().out
    page = (tmp_path / "trend.html").read_text()
    assert f"<h1>{says}" in page
    assert "got worse" not in page
    assert "did not change" not in page


def test_texts_are_escaped(history: Path) -> None:
    entry = night(41, 1.4, torchao=EVIL, case=EVIL)
    (history / "zz.json").write_text(entry.model_dump_json(by_alias=True))
    assert main(["--history", str(history), "--out", str(history.parent / "t.html")]) == 0
    assert EVIL not in (history.parent / "t.html").read_text()


def test_creep_is_one_of_the_series_of_a_history(history: Path) -> None:
    (speed, memory) = series_of(read_history(history))
    assert (speed.gate, speed.worse(speed.changes[0])) == ("speed", True)
    assert memory.changes == []


def test_a_run_adds_itself_once_and_the_last_green_one_is_found(tmp_path: Path) -> None:
    history = tmp_path / "history"
    for run_id in ("20261101T000000Z-aaaa", "20261102T000000Z-bbbb"):
        run = read_run(write_run(tmp_path / "results", red=run_id.endswith("bbbb"), run_id=run_id))
        append(run, history)
        append(run, history)
    entries = read_history(history)
    assert [entry.verdict for entry in entries] == ["green", "red"]
    assert any(point.interval for point in entries[0].points)
    green = last_green(entries, lane="cpu", device=DEVICE.key)
    assert green is not None
    assert green.run == "20261101T000000Z-aaaa"
    assert last_green(entries, lane="b200", device=DEVICE.key) is None


def test_quantities_are_kept_where_no_check_tells_them() -> None:
    found = (Quantity(name=name, value=1.3, unit="x", higher_is_better=True) for name in ("speedup", "device speedup"))
    checks = [against(name, 1.0, floor=0.93, unit="x") for name in ("speedup", "speedup against baseline")]
    kept = {point.quantity: point for point in points_of([record("speed", CASE, checks, quantities=list(found))])}
    values = {name: one.value for name, one in kept.items()}
    assert values == {"speedup": 1.0, "speedup against baseline": 1.0, "device speedup": 1.3}
    assert kept["device speedup"].higher_is_better


def test_a_speedup_that_no_limit_judges_got_worse_when_it_fell() -> None:
    entries = [
        night(number, 1.0, torchao="0.18").model_copy(
            update={"points": [point("speed", "device speedup", "x", 1.5 - 0.1 * (number >= 20), CASE, better=True)]}
        )
        for number in range(40)
    ]
    (series,) = series_of(entries)
    assert [series.worse(change) for change in series.changes] == [True]


def test_damaged_history_names_the_file(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (history / "zz.json").write_text("{")
    with pytest.raises(HistoryDamaged, match=r"zz\.json is no run's entry"):
        read_history(history)
    assert main(["--history", str(history)]) == 4
    assert main(["--history", str(history.parent / "none")]) == 4
    assert "holds no run yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gate", "quantity", "unit", "expected"),
    [
        ("speed", "speedup", "x", 1.25),
        ("speed", "device speedup against baseline", "x", 1.0),
        ("speed", "device speedup", "x", 1.5),
        ("speed", "another ratio", "x", None),
        ("memory", "saved", "GB", 11.8),
        ("memory", "weights allocated", "GB", None),
        ("memory", "peak", "GB", 12.1),
        ("velocity", "sqnr_worst_step", "dB", 9.5),
    ],
)
def test_a_number_is_drawn_against_what_its_baseline_holds_of_it(
    gate: str, quantity: str, unit: str, expected: float | None
) -> None:
    seconds = {"seconds": [1.0, 1.0], "reference_seconds": [1.25, 1.25]}
    rounds = {"seconds": [1.0] * 5, "reference_seconds": [1.5] * 5}
    device: dict[str, object] = {**rounds, "kernels": {}, "reference_kernels": {}}
    stored = baseline_of(
        {
            "speed": SpeedKept.model_validate({**seconds, "ratio": 1.25, "interval": [1.2, 1.3], "device": device}),
            "memory": MemoryKept(saved_bytes=11_800_000_000, peak_bytes=12_100_000_000),
            "velocity": VelocityKept(per_step_db=[9.5, 12.0]),
        },
        case=CASE,
        reason="first",
        recorded_at="2026-11-22T16:40:00+00:00",
        recipe="ab" * 32,
        device=DEVICE,
        stack={"torch": "2.14.1"},
    )
    assert recorded(stored, point(gate, quantity, unit, 1.0, CASE)) == expected


def test_moved_names_what_came_and_went() -> None:
    assert moved({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}) == "b 2 -> 3, c absent -> 4"
