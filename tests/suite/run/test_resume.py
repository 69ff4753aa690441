"""A run that was cut short goes on with the cases that are left."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.gates.verdict import ExitCode
from fixtures.results.baseline import path_of
from fixtures.results.run import HEADER, RECORDS, read_run
from fixtures.run.resume import CannotResume, check_alike, unfinished
from tests.suite.gate_runs import BF16, MXFP8, Gate, cases, gates
from tests.suite.record_samples import header, write_run

SELECTION = (*cases(BF16, MXFP8), *gates("manifest", "calls", "digest"))


def cut_after(folder: Path, lines: int) -> None:
    """Leave the run as a kill would that came after so many records."""
    records = folder / RECORDS
    records.write_text("".join(records.read_text().splitlines(keepends=True)[:lines]))
    told = (folder / HEADER).read_text()
    (folder / HEADER).write_text("\n".join(line for line in told.splitlines() if "finished_at" not in line))


def test_a_recording_that_was_cut_short_keeps_the_cases_that_were_done(gate: Gate, tmp_path: Path) -> None:
    mine, baselines = Gate(scratch=tmp_path, baselines=tmp_path / "baselines", checkpoints=None), tmp_path / "baselines"
    recording = (*SELECTION, "--rebaseline", "--reason", "a first night")
    first = mine(*recording)
    assert first.code == ExitCode.GREEN, first.text
    order = [(record.case, record.gate) for record in first.records]
    done = [one for one in order if one[0] == order[0][0]]
    cut_after(first.folder, len(done) + 1)
    kept = path_of(baselines, "cpu", done[0][0])
    kept.write_text(kept.read_text() + "\n")  # to be seen that it is left alone
    path_of(baselines, "cpu", order[-1][0]).unlink()

    again = mine(*recording, "--resume", "--results", str(first.folder.parent))
    assert again.code == ExitCode.GREEN, again.text
    assert again.says(f"went on with {first.folder.name}: {len(done)} of {len(order)} gates were done")
    resumed = read_run(first.folder.parent / "latest")
    assert [(record.case, record.gate) for record in resumed.records] == order
    assert resumed.finished
    assert kept.read_text().endswith("\n\n")
    assert path_of(baselines, "cpu", order[-1][0]).is_file()

    ended = mine(*recording, "--resume", "--results", str(first.folder.parent))
    assert ended.code == pytest.ExitCode.USAGE_ERROR
    assert ended.says("came to its end; leave --resume out")


def test_another_stack_is_no_run_to_go_on_with(tmp_path: Path) -> None:
    write_run(tmp_path, killed=True)
    before = unfinished(tmp_path)
    now = header("now").model_copy(update={"stack": {"torch": "9.9"}})
    with pytest.raises(CannotResume, match=r"ran on another stack: .*, now torch 9\.9; leave --resume out"):
        check_alike(before, now)


def test_nothing_to_go_on_with_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotResume, match="there is no run to go on with"):
        unfinished(tmp_path)
