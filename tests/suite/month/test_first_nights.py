"""Day 1: no baseline, the command that the night prints, and the night after it; a smoke test before each."""

from __future__ import annotations

import json

import pytest

from fixtures.catalog import LANES, cases_of
from fixtures.gates.verdict import Cause, ExitCode, Verdict
from fixtures.results.records import RECORDING, records_baselines
from tests.suite.b200.host import Host, gpu
from tests.suite.gate_runs import Outcome


@pytest.fixture(scope="module")
def models(drilling: bool) -> list[str]:
    """What narrows a night of the tests down to one model and its first two batch sizes; a drill runs all."""
    return [] if drilling else ["--model", "flux1-dev", "--batch", "1", "--batch", "4"]


def test_a_first_night_prints_one_command_that_records_every_case_and_the_second_is_green(
    host: Host, models: list[str], drilling: bool
) -> None:
    lacking = host.session(*models)
    assert lacking.code == ExitCode.FAIL, lacking.text
    assert (host.folder / "results-0" / "smoke" / "latest").is_dir(), "the smoke test ran first"
    red = [record for record in lacking.records if record.verdict is not Verdict.PASS]
    causes = {check.cause for record in red for check in record.checks if check.verdict is not Verdict.PASS}
    assert causes == {Cause.NO_BASELINE}, lacking.text
    drawn = {record.case for record in lacking.records if "-hub-" in record.case}
    assert {record.case for record in red} == drawn
    assert drilling is (drawn == {case.id for case in cases_of(LANES["b200"])})

    command = printed(lacking)
    assert command[:4] == ["nox", "-s", "b200", "--"], "on the stack that the lane judges"
    assert records_baselines(command)
    assert tuple(command[:4]) != RECORDING
    assert ("--case" in command) is not drilling, "a whole night names no case"
    recorded = host.typed(command)
    assert recorded.code == ExitCode.GREEN, recorded.text
    kept = {path.stem for path in (host.folder / "baselines" / "b200").rglob("*.json")}
    assert kept == {case.partition("/")[2] for case in drawn}
    assert all(f"{case}: recorded" in recorded.text for case in drawn)

    second = host.session(*models)
    assert second.code == ExitCode.GREEN, second.text
    assert {record.verdict for record in second.records} == {Verdict.PASS}
    assert {record.arithmetic for record in second.records} == {"native", "meta"}


def test_a_gpu_that_is_in_use_is_left_alone(host: Host, models: list[str]) -> None:
    """Through the session, whose programs then see the free one alone."""
    busy = Host(folder=host.folder, toy=host.toy, gpus=[gpu(0, processes=[{"pid": 4321}]), gpu(1), gpu(2)])
    night = busy.session("--case", "flux1-dev/mxfp8-meta-bs1-eager", "--gate", "roofline")
    assert night.code == ExitCode.GREEN, night.text
    assert f"{gpu(1)['uuid']} is taken: {gpu(0)['uuid']} is in use by process 4321" in night.text


def printed(outcome: Outcome) -> list[str]:
    """The command at the end of the run."""
    told = json.loads((outcome.folder / "report.json").read_text())
    command: list[str] = told["next"]
    return command
