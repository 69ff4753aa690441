"""Drawings stay inside their frames, draw every number once, and draw nothing of nothing."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import pytest

from fixtures.gates.base import Lines, Rounds
from fixtures.gates.verdict import Check, against, equals, errored
from fixtures.report.charts import NOTHING, Bar, Moment, Trial, bars, bullet, figure, over_time, time_bar, versions


def numbers(markup: str) -> Iterator[float]:
    """Every coordinate of a drawing."""
    for match in re.findall(r' (?:x|y|x1|x2|y1|y2|cx|cy|width|height)="([^"]*)"', markup):
        yield float(match)
    for points in re.findall(r'points="([^"]*)"', markup):
        yield from map(float, re.split("[ ,]", points))


def lines(**series: list[float]) -> Lines:
    """Decibels by step."""
    return Lines(title="closeness", by="step", unit="dB", series=series)


@pytest.mark.parametrize(
    "check",
    [
        against("below its floor", 0.2, floor=1.4, interval=(0.1, 0.3)),
        against("above its ceiling", 900.0, ceiling=1.0),
        against("in a narrow range", 1.0, floor=0.99, ceiling=1.01),
        against("far out of a narrow range", 50.0, floor=0.99, ceiling=1.01),
        against("negative", -12.0, floor=-9.0, unit="dB"),
        against("zero", 0.0, ceiling=0.5),
    ],
    ids=lambda check: str(check.name),
)
def test_a_bullet_stays_on_its_track(check: Check) -> None:
    drawn = bullet(check)
    assert all(0 <= number <= 160 for number in numbers(drawn))
    assert f'class="dot {check.verdict}"' in drawn


def test_where_there_is_nothing_to_draw_nothing_is_drawn() -> None:
    nothing = [bullet(equals("n", 2, 2)), bullet(errored("n", "no value")), figure(lines()), figure(lines(measured=[]))]
    nothing += [
        figure(Rounds(title="seconds", unit="s", series={"bf16": []})),
        time_bar({}),
        over_time([], unit="", title=""),
    ]
    assert nothing == [NOTHING] * 7


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [-1.0, 40.0, 3.0]])
def test_charts_stay_inside_their_frame(values: list[float]) -> None:
    chart = figure(lines(floor=[2.0], measured=values))
    assert all(0 <= number <= 360 for number in numbers(chart))
    paths = re.findall(r'class="line (\w+)" points="([^"]*)"', chart)
    assert [(kind, len(points.split())) for kind, points in paths] == [
        ("floor", len(values)),
        ("measured", len(values)),
    ]
    rounds = figure(Rounds(title="seconds", unit="s", series={"bf16": values, "nvfp4": values}))
    assert all(0 <= number <= 360 for number in numbers(rounds))
    assert (rounds.count('class="round"'), rounds.count('class="median"')) == (2 * len(values), 2)


def test_bars_share_one_scale_that_begins_at_zero() -> None:
    short, long = bars(
        [
            Bar(title="a", value=1.0, unit="x", verdict="pass", marks={}),
            Bar(title="b", value=2.0, unit="x", verdict="fail", interval=(1.9, 2.1), marks={"floor": 2.2}),
        ]
    )
    widths = [float(re.findall(r'width="([\d.]+)"', drawing)[0]) for drawing in (short, long)]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)
    assert [long.count(part) for part in ("mark floor", "whisker")] == [1, 1]


def night(value: float, floor: float | None = None, ceiling: float | None = None) -> Moment:
    """One night's number."""
    return Moment(value=value, title=f"{value}", label="2026-11-22", verdict="pass", floor=floor, ceiling=ceiling)


def test_a_line_over_time_has_its_limits_its_baseline_and_what_happened() -> None:
    moments = [night(1.0, floor=0.9), night(1.1, floor=0.9), night(0.7, floor=0.9, ceiling=500.0)]
    drawn = over_time(moments, unit="x", title="speedup", baseline=1.05, events={2: "fail"})
    assert all(0 <= number <= 520 for number in numbers(drawn))
    parts = {'class="line floor"': 3, 'class="line baseline"': 1, 'class="turn fail"': 1, 'class="dot pass"': 3}
    assert {part: drawn.count(part) for part in parts} == parts
    assert drawn.count('class="line floor far"') == 1, "the ceiling far away squeezes nothing"
    assert "↑ limit 500x" in drawn
    assert all(0 <= number <= 520 for number in numbers(over_time([night(1.0)], unit="x", title="a single night")))


def test_a_moved_stack_is_marked_and_labels_have_room() -> None:
    before, after = night(0.0009182), dataclasses.replace(night(0.0009183), moved="torchao 0.18 -> 0.19")
    drawn = over_time([before, after], unit="relative", title="linear")
    assert drawn.count('class="stack"') == 2
    assert "<title>torchao 0.18 -&gt; 0.19</title>" in drawn
    labels = re.findall(r'class="label end" x="([\d.]+)" y="[\d.]+">([^<]+relative)<', drawn)
    assert labels
    assert all(float(x) >= 6 * len(text) for x, text in labels), "the number with its unit fits beside the chart"


def test_versions_are_told_by_shape_and_not_by_colour_alone() -> None:
    trials = [
        Trial(version="1.0", meaning="good", title="probe 1", value=1.5),
        Trial(version="1.2", meaning="bad", title="probe 2", value=1.1),
        Trial(version="1.1", meaning="gap", title="probe 3: <did not build>"),
    ]
    drawn = versions(["1.0", "1.1", "1.2"], trials, title="torchao by version")
    assert [drawn.count(f"<{shape} ") for shape in ("circle", "path", "rect")] == [1, 1, 1]
    assert "&lt;did not build&gt;" in drawn
    assert "1.5" in drawn
    assert "1.5" not in versions(["1.0", "1.2"], trials[:2], title="digests", tell_values=False)
