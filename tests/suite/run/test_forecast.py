"""The forecast: sums that follow from published seconds, the last night's own, and that nothing is installed for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures import ROOT
from fixtures.catalog import LANES, UnknownName, models, parse_case
from fixtures.catalog.gates import BUILT, Applies, Cost, Declared, Paired, declared_gates
from fixtures.gates.registry import gates as imported
from fixtures.run.forecast import (
    FIRST_CALL_S,
    FIRST_S,
    USUAL_S,
    by_unit,
    expected,
    guessed,
    last_night,
    left,
    load_seconds,
    loads,
)
from fixtures.run.forecast import main as forecast
from fixtures.run.options import RunOptions
from fixtures.run.plan import plan
from fixtures.run.shares import deal
from tests.suite.gate_runs import MXFP8, NVFP4, Gate, cases, gates

BF16_LTX, NVFP4_LTX = (parse_case(f"ltx-2/{name}-hub-bs8-regional") for name in ("bf16", "nvfp4"))
LTX = models()["ltx-2"]
LOAD, BF16_S, NVFP4_S = load_seconds(LTX), 122.427, 72.689


def costing(**cost: object) -> Declared:
    return Declared(name="one", order=1, applies=Applies(checkpoints=BUILT, formats="all"), cost=Cost(**cost))  # type: ignore[arg-type]


def seconds(**cost: object) -> float:
    """Of one gate of LTX-2 in nvfp4 at batch 8 that costs so much, without loading the model."""
    return expected({NVFP4_LTX: [costing(**cost)]}, before={})[NVFP4_LTX, "one"] - LOAD


def test_each_cost_is_so_many_published_seconds() -> None:
    assert seconds() == pytest.approx(0.0)
    assert seconds(seconds=3.0) == pytest.approx(3.0)
    assert seconds(draws=True) == pytest.approx(BF16_S + NVFP4_S + 2 * FIRST_CALL_S), "eight clips are one call of 8"
    assert seconds(calls=2) == pytest.approx(2 * NVFP4_S)
    assert seconds(again=True) == pytest.approx(NVFP4_S)
    assert seconds(follows=True) == pytest.approx(NVFP4_S), "a call of eight holds the four pictures that are followed"
    assert seconds(steps=40) == pytest.approx(NVFP4_S)
    assert seconds(compiles=2) == pytest.approx(2 * FIRST_CALL_S)
    assert seconds(replays=1) == pytest.approx(LOAD + NVFP4_S + FIRST_CALL_S)
    whole = Paired(of="pipeline calls", least=5, most=40, seconds=300.0, untimed=1)
    assert seconds(paired=(whole,)) == pytest.approx(6 * (BF16_S + NVFP4_S))
    steps = Paired(of="denoising steps", least=5, most=40, seconds=60.0)
    assert seconds(paired=(steps,)) == pytest.approx(12 * (BF16_S + NVFP4_S) / 40)


def test_what_gates_share_is_booked_once_under_the_first_that_asks() -> None:
    first, second = costing(draws=True), replace(costing(draws=True, calls=1), name="two")
    found = expected({BF16_LTX: [first], NVFP4_LTX: [first, second]}, before={})
    assert found[BF16_LTX, "one"] == pytest.approx(LOAD + BF16_S + FIRST_CALL_S)
    assert found[NVFP4_LTX, "one"] == pytest.approx(NVFP4_S + FIRST_CALL_S)
    assert found[NVFP4_LTX, "two"] == pytest.approx(NVFP4_S)


def test_the_last_nights_own_seconds_stand_for_cases_of_which_the_same_gates_spoke() -> None:
    both = [costing(calls=1), replace(costing(calls=1), name="two")]
    assert expected({NVFP4_LTX: both}, before={NVFP4_LTX.id: {"one": 1.5, "two": 2.5}}) == {
        (NVFP4_LTX, "one"): 1.5,
        (NVFP4_LTX, "two"): 2.5,
    }
    other = expected({NVFP4_LTX: both}, before={NVFP4_LTX.id: {"one": 1.5}})
    assert other[NVFP4_LTX, "one"] == pytest.approx(LOAD + NVFP4_S), "one alone also took what both share"


def test_what_is_left_follows_the_pace_of_what_is_done() -> None:
    planned = {(BF16_LTX, "one"): 100.0, (NVFP4_LTX, "one"): 50.0}
    assert left(planned, set(), elapsed_s=30.0) == 150.0
    assert left(planned, {(BF16_LTX.id, "one")}, elapsed_s=200.0) == pytest.approx(100.0)
    assert left({}, set(), elapsed_s=5.0) == 0.0


def test_gates_are_declared_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_GATES", str(ROOT / "tests" / "suite" / "steps_gate.py"))
    known = imported()
    assert [one.name for one in declared_gates()] == list(known)
    for one in declared_gates():
        real = known[one.name]
        assert (one.order, one.applies, one.cost) == (real.order, real.applies, real.cost), one.name


def test_a_declaration_in_other_words_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text("import os\n\n\nclass Odd:\n    name = 'odd'\n    order = 1\n    applies = os.getcwd()\n")
    monkeypatch.setenv("GATE_GATES", str(file))
    with pytest.raises(UnknownName, match=r"odd.py line 7: a gate declares its name, order, applies and cost"):
        declared_gates()


def test_nothing_is_installed_for_it(tmp_path: Path) -> None:
    """Without site-packages, as nox's own interpreter may be; every gate and every published cell is there."""
    command = [sys.executable, "-S", "-m", "fixtures.run.forecast", "--lane", "b200", "--history", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for word in ("flux1-dev", "qwen-image", "ltx-2", "speed", "GPU memory", "host memory", "TMPDIR", "downloads"):
        assert word in done.stdout


def test_the_sum_is_that_of_the_plan(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    planned = plan(RunOptions(lane="b200"), "b200")
    minutes = sum(expected(planned.gates, before={}).values()) / 60
    assert forecast(["--lane", "b200", "--history", str(tmp_path)]) == 0
    last = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("sum"))
    assert float(last.split()[-1]) == pytest.approx(minutes, abs=0.06)


def test_a_night_takes_three_hours_on_one_gpu_and_no_longer_than_the_longest_model_on_three() -> None:
    planned = plan(RunOptions(lane="b200"), "b200")
    seconds = expected(planned.gates, before={})
    published = {cell for model in models().values() for cell in model.published}
    assert len({case for case, _ in seconds}) == len(models()) * len(published), "18 cells, and bf16 at 9 sizes"
    assert sum(seconds.values()) <= 3 * 3600
    longest = max(sum(s for (case, _), s in seconds.items() if case.model == name) for name in models())
    shares = deal(by_unit(planned.gates, seconds), ["0", "1", "2"], load=loads(planned.gates))
    assert max(share.expected_s for share in shares) <= longest


def test_a_wrong_option_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert forecast(["--lane", "b200", "--gate", "tempo"]) == 4
    assert capsys.readouterr().err.startswith("unknown gate 'tempo'; choose from: manifest, ")


def test_a_run_tells_the_next_one_what_its_gates_took(
    gate: Gate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "history"
    selection = ["--case", MXFP8, *gates("calls"), "--history", str(folder)]
    first = gate(*selection)
    (path,) = folder.glob("*.json")
    took = last_night(folder, LANES["cpu"])
    assert took == {MXFP8: {"calls": pytest.approx(sum(first.record("calls").seconds.values()), abs=0.001)}}
    assert last_night(folder, LANES["b200"]) == {}

    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "took": {MXFP8: {"calls": 30.0}, NVFP4: {"calls": 7230.0}}}))
    (folder / "damaged.json").write_text("{")
    assert forecast(["--lane", "cpu", *cases(MXFP8, NVFP4), *gates("calls"), "--history", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "about 2 h 01 min on one GPU, by the seconds of the last night" in said
    (folder / "damaged.json").unlink()

    again = gate(*selection, "--case", NVFP4)
    assert "[1/2, 2 h 00 min left] " in again.text
    assert "[2/2] " in again.text


def test_what_this_stack_decided_before_is_not_expected_to_take_anything() -> None:
    asked = ("flux1-dev/nvfp4-meta-bs1-eager", NVFP4)
    gates = plan(RunOptions(case=asked, gate=("code", "manifest", "velocity")), "cpu").gates
    meta, tiny = map(parse_case, asked)
    first = {(case.id, gate): s for (case, gate), s in guessed({}, gates).items()}
    assert first[meta.id, "code"] == FIRST_S["code"]
    assert first[meta.id, "manifest"] == FIRST_S["manifest"]
    assert first[tiny.id, "velocity"] == USUAL_S["velocity"]
    again = guessed({}, gates, kept=[meta])
    assert again[meta, "code"] == again[meta, "manifest"] == 0.0
    assert again[tiny, "velocity"] == USUAL_S["velocity"]
