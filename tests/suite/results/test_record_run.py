"""A run's folder: line by line on the disk, readable however the run ended."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fixtures.gates.digest import DigestResult
from fixtures.gates.verdict import against
from fixtures.report.write import write_summaries
from fixtures.results.records import typed
from fixtures.results.run import ResultsUnwritable, RunFolder, RunUnreadable, new_run_id, read_run, resolve
from tests.suite.record_samples import CASES, header, record

ROOT = Path(__file__).resolve().parents[3]


def opened(root: Path, run_id: str = "20261122T164000Z-0001") -> RunFolder:
    """A folder with a header and one record."""
    folder = RunFolder.create(root, run_id)
    folder.write_header(header(run_id))
    folder.append(record("calls", CASES[0], [against("calls", 16, floor=16)]))
    return folder


def test_run_ids_sort_by_time_and_hardly_collide() -> None:
    moments = [datetime(2026, 11, day, 23, 59, 59, tzinfo=UTC) for day in (1, 2, 22)]
    ids = [new_run_id(moment) for moment in moments]
    assert ids == sorted(ids)
    assert re.fullmatch(r"20261101T235959Z-[0-9a-f]{4}", ids[0])
    assert len({new_run_id(moments[0]) for _ in range(20)}) > 15


def test_what_was_appended_is_what_is_read(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    added = record("speed", CASES[1], [against("speedup", 1.2, floor=1.1, interval=(1.1, 1.3), unit="x")])
    folder.append(added)
    run = read_run(folder.path)
    assert run.records[1] == added
    assert run.records[0].measured() is None
    assert run.header is not None
    assert run.header.cases == list(CASES)
    assert not run.truncated
    assert not run.finished
    folder.finish()
    assert read_run(folder.path).finished


def test_what_processes_left_mixed_is_read_in_the_order_of_the_plan(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    unplanned = "another/case"
    for gate, case in (("speed", CASES[2]), ("calls", unplanned), ("calls", CASES[1]), ("speed", CASES[0])):
        folder.append(record(gate, case, [against("x", 16, floor=16)]))
    read = [(one.case, one.gate) for one in read_run(folder.path).records]
    told = [(CASES[0], "calls"), (CASES[0], "speed"), (CASES[1], "calls"), (CASES[2], "speed"), (unplanned, "calls")]
    assert read == told


def test_latest_points_to_the_newest_run(tmp_path: Path) -> None:
    opened(tmp_path, "20261122T164000Z-0001")
    newest = opened(tmp_path, "20261122T164001Z-0002")
    assert (tmp_path / "latest").is_symlink()
    assert not (tmp_path / "latest").readlink().is_absolute()
    assert resolve(tmp_path / "latest") == newest.path.resolve()
    assert read_run(tmp_path / "latest").name == newest.path.name


def test_latest_is_a_text_file_where_links_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    opened(tmp_path, "20261122T164000Z-0001")
    folder = opened(tmp_path, "20261122T164001Z-0002")
    assert (tmp_path / "latest").read_text() == "20261122T164001Z-0002\n"
    assert resolve(tmp_path / "latest") == folder.path.resolve()


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_last_line_that_was_cut_off_costs_only_itself(tmp_path: Path, cut: int) -> None:
    folder = opened(tmp_path)
    folder.append(record("compile", CASES[0], [against("graph breaks", 0, ceiling=0)]))
    path = folder.path / "records.jsonl"
    path.write_bytes(path.read_bytes()[: -cut - 1])
    run = read_run(folder.path)
    assert run.truncated
    assert [line.gate for line in run.records] == ["calls"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    path = folder.path / "records.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b'{"schema": 2}\n' + whole)
    with pytest.raises(RunUnreadable, match=r"records\.jsonl line 1 is damaged: run: field required"):
        read_run(folder.path)
    path.write_bytes(whole + b'{"schema": 2}\n')
    with pytest.raises(RunUnreadable, match=r"line 2 is damaged"):
        read_run(folder.path)
    path.write_bytes(whole + whole[:50] + b"\n" + whole)
    with pytest.raises(RunUnreadable, match=r"line 2 is damaged"):
        read_run(folder.path)


def test_a_killed_run_keeps_its_finished_records(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from tests.suite.results.test_record_run import opened
opened(Path({str(tmp_path)!r}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, check=False)
    assert killed.returncode == -9
    run = read_run(tmp_path / "latest")
    assert [line.gate for line in run.records] == ["calls"]
    summary, page = write_summaries(tmp_path / "latest")
    assert json.loads(summary.read_text())["verdict"] == "unfinished"
    assert "UNFINISHED" in page.read_text()


def test_a_killed_run_without_a_header_still_has_a_report(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "20261122T164000Z-0001")
    summary, page = write_summaries(folder.path)
    assert json.loads(summary.read_text())["exit_code"] == 2
    assert "no gate ran" in page.read_text()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = opened(tmp_path)
    before = (folder.path / "records.jsonl").read_bytes()

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ResultsUnwritable, match="the disk is full") as caught:
        folder.append(record("calls", CASES[1], [against("calls", 16, floor=16)]))
    assert "\n" not in str(caught.value)
    assert str(folder.path) in str(caught.value)
    assert (folder.path / "records.jsonl").read_bytes() == before
    with pytest.raises(ResultsUnwritable, match="the disk is full"):
        folder.write_header(header("x"))
    assert read_run(folder.path).header == header(folder.path.name)


def test_a_line_that_fits_only_in_part_is_taken_back(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    path = folder.path / "records.jsonl"
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, hard))
    try:
        with pytest.raises(ResultsUnwritable, match="limit of a file's size"):
            folder.append(record("calls", CASES[1], [against("calls", 16, floor=16)]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before


def test_a_results_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    in_the_way = tmp_path / "results"
    in_the_way.write_text("a file")
    with pytest.raises(ResultsUnwritable, match=r"cannot be written to .*; .*--results DIR") as caught:
        RunFolder.create(in_the_way)
    assert "\n" not in str(caught.value)


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    opened(tmp_path, "same")
    with pytest.raises(ResultsUnwritable, match="a file of that name is in the way"):
        opened(tmp_path, "same")


@pytest.mark.parametrize("what", ["nothing", "empty folder", "file"])
def test_a_folder_that_no_run_left_is_one_sentence(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "x"
    if what == "empty folder":
        folder.mkdir()
    elif what == "file":
        folder.write_text("")
    with pytest.raises(RunUnreadable, match="such as results/latest") as caught:
        read_run(folder)
    assert str(folder) in str(caught.value)


def test_what_a_gate_measured_comes_back_as_it_was(tmp_path: Path) -> None:
    folder, measured = opened(tmp_path), DigestResult(digest="ab" * 32)
    result = measured.model_dump(mode="json")
    folder.append(record("digest", CASES[0], [against("moved", 0, ceiling=1)], result=result))
    folder.append(record("a gate that is gone", CASES[0], [against("x", 0, ceiling=1)], result={"any": [1]}))
    first, second = read_run(folder.path).records[1:]
    assert first.measured() == measured
    assert (second.measured(), second.result) == (None, {"any": [1]})


def test_a_placeholder_of_a_command_is_typed_in_quotes() -> None:
    command = ["nox", "-s", "rebaseline", "--", "a/b", "--reason", "..."]
    assert typed(command) == 'nox -s rebaseline -- a/b --reason "..."'
    assert typed(["x", "two words"]) == "x 'two words'"
