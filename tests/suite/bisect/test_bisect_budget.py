"""A bisect ends: its minutes are told before it begins, the cheapest case comes first, and what is next is fetched."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from fixtures.bisect import __main__ as bisect
from fixtures.bisect.budget import LEAST_LIMIT_S, Rung, ladder, most_probes, told
from fixtures.bisect.log import LOG, BisectLog
from fixtures.bisect.nights import backwards, steps
from fixtures.bisect.probe import ProbeTools
from fixtures.bisect.question import turn
from fixtures.bisect.search import SearchSettings, next_asked, search
from fixtures.bisect.trials import Classification, Combination, ProbeTrial, Purpose
from fixtures.catalog import cases_of, models
from fixtures.catalog.lanes import LANES
from fixtures.gates.registry import gates
from fixtures.gates.verdict import Verdict
from fixtures.results.history import Entry, Point
from fixtures.results.records import DeviceRecord
from tests.suite.bisect_stand_in import CASE, asked, cases, run, wheels
from tests.suite.bisect_worlds import World

FULL = "flux1-dev/nvfp4-hub-bs4-regional"
TINY = CASE
NIGHTS = 30
MOVING = 3
"""torch, torchao and mslk move every night."""
PUBLISHED = [case for case in cases_of(LANES["b200"]) if case.checkpoint == "hub"]


# ---- minutes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", list(gates()))
def test_every_gate_of_every_published_case_has_its_minutes_and_a_month_of_nights_costs_half_an_hour(gate: str) -> None:
    probes = most_probes((NIGHTS - 1,) * MOVING, SearchSettings())
    speaking = [case for case in PUBLISHED if gates()[gate].applies.to(case, first_batch=case.batch_size)]
    for case in speaking:
        rungs = ladder(case.id, gate)
        assert rungs[-1].case == case.id
        seconds = [rung.seconds for rung in rungs if rung.seconds is not None]
        assert len(seconds) == len(rungs)
        assert seconds == sorted(seconds), "the cheapest first"
        assert probes * seconds[0] <= 30 * 60, rungs[0].case
        assert all(rung.limit_s >= LEAST_LIMIT_S for rung in rungs)
        assert len(told(rungs, probes)) == len(rungs)
        assert all(" min a probe, at most " in line for line in told(rungs, probes))


def test_a_probe_is_ended_by_its_own_cases_seconds() -> None:
    """A speed probe of LTX-2 at batch 8 outlasts half an hour and was ended by it."""
    longest = ladder("ltx-2/mxfp8-hub-bs8-regional", "speed")[-1]
    assert longest.seconds is not None
    assert longest.limit_s > longest.seconds > 1800
    assert ladder(FULL, "velocity", limit_s=7.0)[0].limit_s == 7.0
    assert [rung.case for rung in ladder(TINY, "velocity")] == [TINY]
    unknown = Rung(case="x", limit_s=1.0)
    assert told([unknown], 3) == ["x: at most 3 probes; how long one takes nobody knows yet"]


# ---- nights --------------------------------------------------------------------------------------------------------

TORCH = [f"2.12.0.dev202611{day:02d}" for day in (1, 2, 5)]
TORCHAO = [f"0.19.0.dev202611{day:02d}" for day in (1, 3, 4, 5)]


def test_nightlies_are_walked_back_by_night_and_releases_by_position() -> None:
    assert backwards([TORCH, TORCHAO]) == [(0, 0), (1, 0), (1, 1), (1, 2), (2, 3)]
    assert backwards([["0.15", "0.16", "0.17"], ["1.0"]]) == [(0, 0), (1, 0), (2, 0)]


def test_packages_that_only_go_together_are_stepped_by_night() -> None:
    axes = [TORCH, TORCHAO, ["1.0"]]
    assert steps(axes, (0, 0, 0), (2, 3, 0), [0, 1]) == [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 2, 0), (2, 3, 0)]
    assert steps([["0.1", "0.2", "0.3"], TORCHAO], (0, 0), (2, 3), [0, 1])[1] == (1, 1)


def night(day: int, *, red: bool, gate: str = "velocity") -> Entry:
    points = [Point(case=FULL, gate=gate, quantity="sqnr", value=1.0, verdict=Verdict.FAIL if red else Verdict.PASS)]
    return Entry(
        schema=2,
        run=str(day),
        started_at=f"2026-11-{day:02d}",
        lane="b200",
        device=DeviceRecord(key="gpu", name="B200"),
        stack={"torch": f"2.12.0.dev202611{day:02d}", "diffusers": "0.42.1"},
        verdict="red" if red else "green",
        points=points,
    )


def test_ends_are_the_last_green_and_the_first_red_night() -> None:
    nights = [night(1, red=True), night(2, red=False), night(3, red=True), night(4, red=True)]
    found = turn(nights, FULL, "velocity")
    assert found is not None
    assert [one.run for one in found] == ["2", "3"]
    assert turn([*nights, night(5, red=False)], FULL, "velocity") is None, "it is green again"
    assert turn(nights[2:], FULL, "velocity") is None, "it was never green"
    assert turn(nights, FULL, "speed") is None


# ---- the search's next question ------------------------------------------------------------------------------------


def test_what_the_search_asks_next_is_known_for_either_answer() -> None:
    dice = random.Random(0)
    for _ in range(40):
        sizes = tuple(dice.choice((0, 1, 5, 29)) for _ in range(3))
        if not any(sizes):
            continue
        axis = dice.choice([axis for axis, last in enumerate(sizes) if last])
        at = dice.randint(1, sizes[axis])
        world = World(truth=lambda point, axis=axis, at=at: point[axis] >= at)  # type: ignore[misc]
        trials: list[ProbeTrial] = []

        def probe(point: Combination, why: Purpose) -> Classification:
            assert next_asked(sizes=sizes, trials=trials, settings=SearchSettings()) == point  # noqa: B023
            answer = world(point, why)  # noqa: B023
            trials.append(ProbeTrial(point, answer, why))  # noqa: B023
            return answer

        search(sizes=sizes, probe=probe)
        assert next_asked(sizes=sizes, trials=trials, settings=SearchSettings()) is None


# ---- whole bisects -------------------------------------------------------------------------------------------------


KINDS = {f"0.{number}": "good" if number < 6 else "bad" for number in range(1, 9)}


def test_the_cheapest_case_that_shows_it_is_drawn_alone(
    tmp_path: Path, stand_in: ProbeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    index = wheels(tmp_path / "index", KINDS)
    code, found = run(tmp_path, index, stand_in, "--good", "torchao=0.1", "--bad", "torchao=0.8", case=FULL)
    assert (code, found.culprits[0].steps[0].first_bad.version) == (0, "0.6")
    assert (found.case, found.probed) == (FULL, TINY)
    assert set(cases(stand_in)) == {TINY}
    said = capsys.readouterr()
    assert f"plan: {TINY}: 1.0 min a probe, at most " in said.err
    assert f"probed on {TINY}, which shows it at both ends" in said.out
    assert len(asked(stand_in)) == found.counts["probes"] + 1, (
        "and one recording at the good end; the ends are asked once"
    )


def test_a_case_that_does_not_show_it_costs_two_probes_and_the_next_one_is_drawn(
    tmp_path: Path, stand_in: ProbeTools
) -> None:
    kinds = {version: kind.replace("bad", "bad at full size") for version, kind in KINDS.items()}
    index = wheels(tmp_path / "index", kinds)
    code, found = run(tmp_path, index, stand_in, "--good", "torchao=0.1", "--bad", "torchao=0.8", case=FULL)
    assert (code, found.culprits[0].steps[0].first_bad.version) == (0, "0.6")
    drawn = cases(stand_in)
    assert drawn[:3] == [TINY] * 3, "a recording, the good end and the bad end"
    assert set(drawn[3:]) == {found.probed or FULL} != {TINY}


def test_a_log_alone_is_gone_on_with_after_the_runner_was_cleaned(
    tmp_path: Path, stand_in: ProbeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    index = wheels(tmp_path / "index", KINDS)
    _, first = run(tmp_path, index, stand_in, "--good", "torchao=0.1", "--bad", "torchao=0.8", case=FULL)
    log = (tmp_path / "out" / LOG).read_text().splitlines(keepends=True)
    whole, _ = BisectLog.resume(tmp_path / "out" / LOG)
    before = len(asked(stand_in))
    for folder in ("out", "cache"):
        shutil.rmtree(tmp_path / folder)
    (tmp_path / "elsewhere").mkdir()
    plan = log[0].replace(str(stand_in.base), "/gone")
    (tmp_path / "elsewhere" / LOG).write_text("".join([plan, *log[1:4]]))
    assert (
        bisect.main(["--resume", str(tmp_path / "elsewhere"), "--cache", str(tmp_path / "cache")], tools=stand_in) == 0
    )
    assert "continuing" in capsys.readouterr().err
    log_, _ = BisectLog.resume(tmp_path / "elsewhere" / LOG)
    assert [line.versions for line in log_.lines] == [line.versions for line in whole.lines]
    again = asked(stand_in)[before:]
    assert again[0] == "0.1", "its baseline is recorded at the good end again"
    assert len(again) == len(log_.lines) - 3 + 1
    assert first.culprits[0].steps[0].first_bad.version == "0.6"


def test_wheels_of_what_may_be_asked_next_are_fetched_while_a_probe_runs(tmp_path: Path, stand_in: ProbeTools) -> None:
    kinds = {version: "slow" if version == "0.4" else kind for version, kind in KINDS.items()}
    index = wheels(tmp_path / "index", kinds)
    more = ["--good", "torchao=0.1", "--bad", "torchao=0.8", "--survey", "0"]
    assert run(tmp_path, index, stand_in, *more)[0] == 0
    fetched = {path.name.split("-")[1] for path in (tmp_path / "cache").glob("*/*.whl")}
    assert "0.2" in fetched - set(asked(stand_in)), "what would have been asked, had the middle been bad"


def test_models_have_a_tiny_checkpoint_to_begin_with() -> None:
    assert all("tiny" in model.samplings for model in models().values())
