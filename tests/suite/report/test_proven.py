"""The page begins with a row a model and format: what was proven, and never what emulation costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.gates.base import Quantity
from fixtures.gates.verdict import Check, ExitCode, against, equals
from fixtures.report.page import page
from fixtures.report.proven import columns, proven, share_left
from fixtures.report.summary import summarise
from fixtures.report.table import render
from fixtures.results.records import GateRecord, LastGreen
from fixtures.results.run import INTERRUPTED, RecordedRun
from tests.suite.record_samples import header, record

TINY, META = "flux1-dev/nvfp4-tiny-bs1-eager", "flux1-dev/nvfp4-meta-bs1-eager"
VELOCITY = record(
    "velocity", TINY, [against("sqnr_worst_step", 15.2, floor=14.0, unit="dB")],
    quantities=[Quantity(name="worst step, dB", value=15.2)],
)  # fmt: skip
COST = record("speed", TINY, [against("speedup", 0.41, floor=0.3, unit="x")], arithmetic="emulated")
FORECAST = record(
    "code", META, [equals("graph breaks", 0, 0)], arithmetic="meta",
    quantities=[Quantity(name="forecast speedup", value=1.52, unit="x")],
)  # fmt: skip


def run(*records: GateRecord, finished: bool = True, **changes: object) -> RecordedRun:
    """A run that left these records."""
    told = {"cases": [one.case for one in records], "finished_at": "2026-11-22T17:00:00+00:00" if finished else None}
    made = header("sample", **{**told, **changes})
    return RecordedRun(folder=Path("/nowhere"), header=made, records=records, truncated=False)


def test_a_row_tells_each_gates_number_and_what_emulation_costs_is_no_speedup() -> None:
    (row,) = proven(run(VELOCITY, COST, FORECAST))
    told = {column: [(one.text, one.how) for one in cell] for column, cell in row.told.items()}
    assert told == {"velocity": [("15.2 dB", "")], "speedup": [("1.52x", "forecast")]}
    assert {"velocity", "LPIPS", "saved", "speedup"} == set(columns())
    assert "ratio of seconds" in render(run(COST), width=140), "beside its gate it is called what it is"
    assert "speedup " not in render(run(COST), width=140).partition("GREEN")[0]
    native = COST.model_copy(update={"arithmetic": "native"})
    (row,) = proven(run(native, FORECAST))
    assert {(one.text, one.how) for one in row.told["speedup"]} == {("0.41x", "measured"), ("1.52x", "forecast")}


def test_a_row_tells_the_number_that_is_nearest_to_its_limit() -> None:
    (row,) = proven(run(VELOCITY, COST))
    assert row.margin == "velocity: sqnr_worst_step, 9% left to its floor 14 dB"
    bad = record("velocity", TINY, [against("sqnr_worst_step", 7.0, floor=14.0, unit="dB")])
    assert proven(run(bad))[0].margin == "velocity: sqnr_worst_step, 50% beyond its floor 14 dB"


@pytest.mark.parametrize(
    ("check", "share"),
    [
        (against("n", 11.0, floor=10.0), 0.1),
        (against("n", 9.0, ceiling=10.0), 0.1),
        (against("n", 1.25, floor=1.0, ceiling=2.0), 0.5),
        (against("n", 0.0, ceiling=0.0), None),
        (equals("n", 3, 3), None),
        (against("n", 57.0, floor=57.0), None),
        (against("n", 1.0, ceiling=1.02, unit="x"), None),
    ],
)
def test_a_margin_is_a_share_of_the_limit(check: Check, share: float | None) -> None:
    assert share_left(check) == (share if share is None else pytest.approx(share))


def test_a_row_tells_what_moved_since_the_last_green_run() -> None:
    def since(value: float) -> tuple[str, ...] | None:
        numbers = {TINY: {"velocity": {"worst step, dB": value}}}
        green = LastGreen(run="before", started_at="2026-11-21T16:40:00+00:00", stack={}, numbers=numbers)
        return proven(run(VELOCITY, last_green=green))[0].since

    assert since(15.2) == ()
    assert since(15.7) == ("velocity -0.5 dB",)
    assert proven(run(VELOCITY))[0].since is None, "there is nothing to compare with"


def test_a_case_of_which_gates_are_missing_is_unfinished_and_not_passed() -> None:
    plan = {TINY: ["manifest", "velocity", "quality"]}
    for finished, code in ((False, INTERRUPTED), (True, ExitCode.ERROR)):
        cut = run(VELOCITY, finished=finished, plan=plan)
        assert cut.exit_code == code
        assert cut.unfinished_cases == {TINY: (1, 3)}
        assert proven(cut)[0].verdict == "unfinished"
        assert f"{TINY}: 1 of 3 of its gates ran, so it is unfinished" in render(cut, width=140)
        text = page([cut])
        assert '<span class="badge unfinished">' in text
        assert "1 of 3 gates passed, 2 did not run" in text
    assert run(VELOCITY, plan={TINY: ["velocity"]}).exit_code == ExitCode.GREEN


def test_a_rehearsal_says_so_and_repeats_what_would_have_stopped_the_lane() -> None:
    rehearsed = run(VELOCITY, lane="b200-rehearsal", stops=["GPU: sm_100 (B200) is needed"])
    assert summarise(rehearsed).rehearses == "b200"
    text = render(rehearsed, width=140)
    assert "REHEARSAL GREEN" in text
    assert text.index("the b200 lane would have stopped here, 1 missing:") > text.index("exit code 0")
    assert "proves nothing of its machine" in " ".join(text.split())
    html = page([rehearsed])
    assert "<title>REHEARSAL GREEN" in html
    assert html.index("would have stopped for") > html.index('class="case"')
    assert "REHEARSAL" not in render(run(VELOCITY), width=140)
