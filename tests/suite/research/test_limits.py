"""The page of limits: each between the worst healthy run and the nearest fault, and those that are not are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.faults.records import FaultsFile
from fixtures.gates.verdict import against
from fixtures.research.limits.__main__ import main
from fixtures.research.limits.healthy import LINE, HealthyFile, Said, Spread, Tally
from fixtures.research.limits.table import NotTheSame, Row, rows

CASE = "flux1-dev/nvfp4-tiny-bs1-eager"


def spread(gate: str, check: str, *, low: float, high: float, unit: str = "dB", **limits: float) -> Spread:
    """One line of three healthy runs."""
    where = {"model": "flux1-dev", "format": "nvfp4", "gate": gate, "check": check, "unit": unit}
    return Spread.model_validate({**where, **limits, "low": low, "high": high, "runs": 3})


def clean(*spreads: Spread, metric: str = "lpips-alex") -> HealthyFile:
    """What `--clean` writes."""
    return HealthyFile(schema=1, metric=metric, asked=3, runs=3, seconds=1.0, red=[], spread=list(spreads))


def faults(**found: object) -> FaultsFile:
    """What `nox -s faults` writes."""
    counts = {"share_caught": 1.0, "caught": 1, "faults": 1, "escaped": [], "false_alarms": [], "seconds": 1.0}
    empty = {"schema": 2, "metric": "lpips-alex", "matrix": [], "resolution": []}
    return FaultsFile.model_validate({**counts, **empty, **found})


def swept(gate: str, check: str, values: dict[str, float], unit: str = "dB", **limits: float) -> FaultsFile:
    """What a sweep writes: size -> value; red beyond the limits."""
    low, high = limits.get("floor", float("-inf")), limits.get("ceiling", float("inf"))
    measured = {
        size: {check: {"value": value, **limits, "unit": unit, "red": not low <= value <= high}}
        for size, value in values.items()
    }
    sweep = {"sweep": "noise", "unit": "of each value", "case": CASE, "gate": gate, "measured": measured}
    return faults(resolution=[sweep])


def only(made: list[Row]) -> Row:
    """The one row."""
    (row,) = made
    return row


def test_a_floor_lies_between_the_lowest_healthy_value_and_the_nearest_red_one() -> None:
    healthy = spread("velocity", "worst", low=18.7, high=19.3, floor=16.5)
    fault = swept("velocity", "worst", {"0.1": 6.8, "0.025": 15.7, "0.018": 16.8}, floor=16.5)
    row = only(rows([clean(healthy)], [fault]))
    assert (row.healthy, row.limit, row.is_floor, row.runs) == (18.7, 16.5, True, 3)
    assert row.caught is not None
    assert (row.caught.value, row.caught.fault) == (15.7, "noise 0.025 of each value")
    assert row.problem == ""


def test_a_ceiling_lies_between_the_highest_healthy_value_of_all_files_and_the_nearest_red_one() -> None:
    healthy = [clean(spread("quality", "mean", low=0.001, high=high, ceiling=0.0025)) for high in (0.0012, 0.0014)]
    row = only(rows(healthy, [swept("quality", "mean", {"1": 0.009, "0.5": 0.003, "0.2": 0.002}, ceiling=0.0025)]))
    assert (row.healthy, row.limit, row.runs) == (0.0014, 0.0025, 6)
    assert row.caught is not None
    assert row.caught.value == 0.003


def test_a_floor_and_a_ceiling_are_one_distance_from_their_middle_in_bytes() -> None:
    healthy = spread("memory", "saved", low=0.0040, high=0.0040, unit="GB", floor=0.003997, ceiling=0.004003)
    values = {"5000": 0.003995, "2000": 0.003998}
    fault = swept("memory", "saved", values, "GB", floor=0.003997, ceiling=0.004003)
    row = only(rows([clean(healthy)], [fault]))
    assert (row.unit, row.is_floor) == ("B", False)
    assert row.limit == pytest.approx(3000)
    assert row.healthy == pytest.approx(0, abs=1e-3)
    assert row.caught is not None
    assert row.caught.value == pytest.approx(5000)


def test_a_fault_of_the_catalogue_counts_and_a_fault_of_another_case_only_for_the_same_limit() -> None:
    healthy = spread("memory", "kept", low=0, high=0, ceiling=16.0)

    def found(ceiling: float) -> FaultsFile:
        numbers = {"memory": {"kept": {"value": 20.0, "ceiling": ceiling, "unit": "dB", "red": True}}}
        outcome = {"fault": "every_call_leaks", "case": "ltx-2/nvfp4-tiny-bs1-eager", "numbers": numbers}
        rest = {"sources": [], "models": "", "cells": {}, "messages": {}, "digest_only": False, "seconds": 1.0}
        return faults(matrix=[{**rest, **outcome}])

    row = only(rows([clean(healthy)], [found(16.0)]))
    assert row.caught is not None
    assert row.caught.fault == "every_call_leaks"
    assert only(rows([clean(healthy)], [found(17.0)])).caught is None


@pytest.mark.parametrize(
    ("high", "values", "said"),
    [
        (0.003, {"1": 0.009}, "a healthy run had 0.003, beyond the limit 0.0025"),
        (0.001, {"1": 0.002}, "no fault reached the limit 0.0025"),
    ],
)
def test_a_limit_that_does_not_sit_between_is_named(
    high: float, values: dict[str, float], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "clean.json": clean(spread("quality", "mean", low=0.001, high=high, ceiling=0.0025, unit="LPIPS")),
        "faults.json": swept("quality", "mean", values, ceiling=0.0025),
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content.model_dump_json(by_alias=True), encoding="utf-8")
    assert main(["--limits-table", *(str(tmp_path / name) for name in files)]) == 1
    page = capsys.readouterr().out
    assert f"- flux1-dev nvfp4 quality, mean: {said}\n" in page
    assert f"| quality: mean, LPIPS | {high:.3g}, **0.0025**," in page


def test_counts_and_checks_of_the_ruler_have_no_row() -> None:
    spreads = (
        spread("calls", "denoiser calls", low=12, high=12, floor=12, ceiling=12),
        spread("quality", "control black", low=0.9, high=0.95, floor=0.005),
        spread("velocity", "what the baseline recorded", low=18, high=18, floor=16.5),
    )
    assert rows([clean(*spreads)], [swept("quality", "x", {})]) == []


def test_files_of_two_metrics_or_of_another_kind_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NotTheSame, match="lpips-alex and st-lpips-alex; two metrics are never compared"):
        rows([clean(metric="st-lpips-alex")], [swept("quality", "x", {})])
    assert main(["--limits-table", str(tmp_path / "nothing.json")]) == 4
    assert "cannot be read" in " ".join(capsys.readouterr().out.split())


def test_healthy_runs_widen_a_spread_and_keep_what_is_red(tmp_path: Path) -> None:
    tally = Tally(path=tmp_path / "clean.json", asked=2)
    for value, ceiling in ((0.001, 0.003), (0.004, 0.002)):
        check = against("mean", value, ceiling=ceiling, unit="LPIPS")
        where = {"run": 1, "case": CASE, "model": "flux1-dev", "format": "nvfp4", "gate": "quality"}
        said = {"metric": "lpips-alex", "verdict": check.verdict, "message": check.sentence(), "checks": [check]}
        line = LINE.validate_json(Said.model_validate({**where, **said}).model_dump_json())
        assert isinstance(line, Said)
        tally.take(line)
    tally.save()
    written = HealthyFile.model_validate_json(tally.path.read_text(encoding="utf-8"))
    (one,) = written.spread
    assert (one.low, one.high, one.ceiling, one.runs) == (0.001, 0.004, 0.002, 2)
    assert written.red == [f"run 1 {CASE} quality: mean 0.004 LPIPS above ceiling 0.002 LPIPS"]
