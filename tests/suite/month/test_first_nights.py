"""Day 1: no baseline, the command that the night prints, and the night after it."""

from __future__ import annotations

import json

import pytest

from fixtures.gates.verdict import Cause, ExitCode, Verdict
from fixtures.results.records import RECORDING, records_baselines
from tests.suite.b200 import index
from tests.suite.b200.host import Host, gpu, today
from tests.suite.gate_runs import Outcome, cases

DRAWN = ("flux1-dev/bf16-hub-bs1-reduce-overhead", "flux1-dev/mxfp8-hub-bs1-reduce-overhead")
GATES = ("manifest", "reference", "digest")
"""Speed, whose rounds take longest, is recorded for the nights that go wrong."""
NARROWED = (*cases(*DRAWN), *(part for name in GATES for part in ("--gate", name)))


@pytest.fixture(scope="module")
def tonight(host: Host) -> Host:
    """The host on a night of which the index has every nightly."""
    index.nights(host.nightlies, index.a_night(today()))
    return host


def test_a_first_night_prints_one_command_that_records_every_case_and_the_second_is_green(tonight: Host) -> None:
    lacking = tonight.session(*NARROWED)
    assert lacking.code == ExitCode.FAIL, lacking.text
    red = [record for record in lacking.records if record.verdict is not Verdict.PASS]
    causes = {check.cause for record in red for check in record.checks if check.verdict is not Verdict.PASS}
    assert causes == {Cause.NO_BASELINE}, lacking.text
    assert {record.case for record in red} == set(DRAWN)

    command = printed(lacking)
    assert command[:4] == ["nox", "-s", "b200", "--"], "on the stack that the lane judges"
    assert records_baselines(command)
    assert tuple(command[:4]) != RECORDING
    recorded = tonight.typed(command)
    assert recorded.code == ExitCode.GREEN, recorded.text
    kept = {path.stem for path in (tonight.folder / "baselines" / "b200").rglob("*.json")}
    assert kept == {case.partition("/")[2] for case in DRAWN}

    second = tonight.session(*NARROWED)
    assert second.code == ExitCode.GREEN, second.text
    assert {record.verdict for record in second.records} == {Verdict.PASS}
    assert {record.arithmetic for record in second.records} == {"native"}


@pytest.mark.drill
def test_a_smoke_that_is_red_stops_the_night_before_published_weights_are_read(tonight: Host) -> None:
    """A denoiser that is called once too often, on a night that nothing narrows but its format."""
    more = (
        "_call = FluxPipeline.__call__\n"
        "def _twice(self, *args, **kwargs):\n"
        "    return _call(self, *args, **{**kwargs, 'num_inference_steps': kwargs['num_inference_steps'] + 1})\n"
        "FluxPipeline.__call__ = _twice\n"
    )
    module = "diffusers.pipelines.flux.pipeline_flux"
    broken = Host(folder=tonight.folder, planted=[{"after": module, "code": more}])
    night = broken.session("--model", "flux1-dev", "--format", "bf16")
    assert night.code == ExitCode.FAIL, night.text
    assert not night.records
    smoke = next(line for line in night.text.splitlines() if "no published weights were read" in line)
    assert smoke.startswith("the tiny checkpoints are red on this stack")


@pytest.mark.drill
def test_a_gpu_that_is_in_use_is_left_alone(tonight: Host) -> None:
    """Through the session, whose programs then see the free one alone."""
    busy = Host(folder=tonight.folder, gpus=[gpu(0, processes=[{"pid": 4321}]), gpu(1), gpu(2)])
    night = busy.session("--case", "flux1-dev/mxfp8-meta-bs1-eager", "--gate", "roofline")
    assert night.code == ExitCode.GREEN, night.text
    assert f"{gpu(1)['uuid']} is taken: {gpu(0)['uuid']} is in use by process 4321" in night.text


def printed(outcome: Outcome) -> list[str]:
    """The command at the end of the run."""
    told = json.loads((outcome.folder / "report.json").read_text())
    command: list[str] = told["next"]
    return command
