"""Day 1 of the models that call their denoiser with two lengths of text, and with pictures and sound.

In `nox -s drill` alone: what makes a night red or green is no model's own.
"""

from __future__ import annotations

import json

import pytest

from fixtures.catalog import models
from fixtures.gates.verdict import Cause, ExitCode, Verdict
from tests.suite.b200.host import Host
from tests.suite.gate_runs import cases

ASKED = ("reference", "schedule", "attention", "manifest", "memory", "arithmetic", "calls", "kernels", "velocity")
JUDGED = tuple(part for name in (*ASKED, "quality", "digest", "graphs", "speed") for part in ("--gate", name))


@pytest.mark.parametrize("name", ["qwen-image", "ltx-2"])
@pytest.mark.drill
def test_a_first_night_lacks_baselines_alone_and_the_second_is_green(host: Host, name: str) -> None:
    mode = models()[name].compile_modes[1]
    drawn = [f"{name}/{form}-hub-bs1-{mode}" for form in ("bf16", "mxfp8", "nvfp4")]
    lacking = host.night(*cases(*drawn), *JUDGED)
    assert lacking.code == ExitCode.FAIL, lacking.text
    causes = {check.cause for record in lacking.records for check in record.checks if check.verdict is Verdict.FAIL}
    assert causes == {Cause.NO_BASELINE}, lacking.text

    command = json.loads((lacking.folder / "report.json").read_text())["next"]
    recorded = host.night(*("a first night" if word == "..." else word for word in command[4:]))
    assert recorded.code == ExitCode.GREEN, recorded.text
    second = host.night(*cases(*drawn), *JUDGED)
    assert second.code == ExitCode.GREEN, second.text
    assert {record.verdict for record in second.records} == {Verdict.PASS}
