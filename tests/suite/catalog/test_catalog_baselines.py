"""The committed baselines are whole, current and used."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from fixtures.catalog import LANES, cases_of, meta_cases, models, parse_case
from fixtures.catalog.schema import Case
from fixtures.gates.registry import gates_of
from fixtures.pipelines.load import recipe_of
from fixtures.results.baseline import StackKind, load, path_of, stored_files
from fixtures.results.store import unused

BASELINES = Path(__file__).resolve().parents[3] / "baselines"
RECORDS = sorted(BASELINES.rglob("*.json"))
SECTIONS = {"manifest", "velocity", "quality", "digest", "reference", "code"}
"""Gates that compare with a section of their name wherever they run; `speed` does so where it was timed."""


def known() -> list[Path]:
    """Where every case of a lane keeps its baseline, whatever checkpoint and compile mode is asked for."""
    of_stacks = [path_of(BASELINES, "", case, kind) for kind in get_args(StackKind) for case in meta_cases()]
    return of_stacks + [
        path_of(BASELINES, lane.machine, case)
        for lane in LANES.values()
        if lane.machine is not None and lane.records
        for checkpoint in ("tiny", "hub", "random")
        for mode in ("eager", "regional", "reduce-overhead")
        for batches in ((1, 2), (1, 4), ())
        for case in cases_of(lane, checkpoint=checkpoint, compile_mode=mode, batch_sizes=batches)
    ]


def test_no_baseline_is_unused() -> None:
    assert unused(BASELINES, known()) == []


def test_a_baseline_of_a_vanished_case_would_be_told(tmp_path: Path) -> None:
    stray = tmp_path / "cpu" / "flux1-dev" / "int4-tiny-bs1-eager.json"
    stray.parent.mkdir(parents=True)
    stray.write_text("{}")
    assert unused(tmp_path, [path_of(tmp_path, "cpu", case) for case in cases_of(LANES["cpu"])]) == [stray]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: str(path.relative_to(BASELINES)))
def test_a_committed_baseline_is_whole_and_current(path: Path) -> None:
    case = parse_case(
        str(path.relative_to(BASELINES).with_suffix("").relative_to(path.relative_to(BASELINES).parts[0]))
    )
    baseline = load(path, case.id, recipe_of(case))
    beside = [*path.parent.glob(f"{path.stem}-?.png"), *path.parent.glob(f"{path.stem}.py.xz")]
    assert sorted(stored_files(path, baseline)) == sorted(beside)
    assert sections(case) <= {name.partition(":")[0] for name in baseline.sections()}
    assert len(baseline.reason.split()) >= 2, f"{baseline.reason!r} tells nobody why this is normal"


def sections(case: Case) -> set[str]:
    """What the gates of this case record. Pictures are stored once: a prompt's noise knows no batch size."""
    gates = {gate.name for gate in gates_of(case, first_batch=1)}
    kept = SECTIONS - (set() if case.batch_size == 1 else {"reference"})
    return gates & (kept if case.checkpoint != "meta" else {"code"})


@pytest.mark.parametrize("name", [name for name, model in models().items() if "tiny" in model.samplings])
def test_every_tiny_case_of_the_cpu_lane_has_a_baseline_for_both_metrics(name: str) -> None:
    for case in cases_of(LANES["cpu"], model_names=[name]):
        path = path_of(BASELINES, "cpu", case)
        assert path in RECORDS, f"{path} is missing"
        if "quality" in sections(case):
            text = path.read_text()
            assert '"lpips-alex"' in text
            assert '"st-lpips-alex"' in text
