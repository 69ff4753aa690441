"""Day 3: a nightly breaks something, the lane is red, and the command that it prints finds the package and its night;
the tracker has one issue until a night is green.

In `nox -s drill` alone: ten probes, each an installation and a run.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import replace

import pytest

from fixtures.gates.verdict import ExitCode, Verdict
from tests.suite.b200 import index
from tests.suite.b200.host import Host, today
from tests.suite.gate_runs import cases
from tests.suite.tracker_stand_in import TOKEN, tracker_on_this_machine

MXFP8 = "flux1-dev/mxfp8-hub-bs1-reduce-overhead"
ASKED = (*cases(MXFP8), "--gate", "arithmetic")
BROKEN = {
    "torchao.prototype.mx_formats.mx_tensor": (
        "_rceil = _to_mx_rceil\n"
        "def _to_mx_rceil(data_hp, max_abs, max_pos):\n"
        "    return _rceil(data_hp, max_abs / 16, max_pos)\n"
    )
}
"""Block scales a sixteenth of what they should be, so that blocks saturate."""


@pytest.mark.drill
def test_a_night_that_broke_torchao_is_red_and_the_printed_bisect_names_it(host: Host) -> None:
    last = datetime.date.fromisoformat(today())
    days = [(last - datetime.timedelta(days=back)).isoformat() for back in range(3, -1, -1)]
    for number, day in enumerate(days):
        index.nights(host.nightlies, index.a_night(day, torchao=BROKEN if number >= 2 else {}))
    recorded = host.session("--date", days[0], *ASKED, "--rebaseline", "--reason", "a first night")
    assert recorded.code == ExitCode.GREEN, recorded.text

    night = host.session(*ASKED)
    assert night.code == ExitCode.FAIL, night.text
    red = [record for record in night.records if record.verdict is Verdict.FAIL]
    assert [record.gate for record in red] == ["arithmetic"]
    command = list(json.loads((night.folder / "report.json").read_text())["next"])
    assert command[:4] == ["nox", "-s", "bisect", "--"]

    bisects = host.folder / "bisects"
    out = bisects / "1"
    found = host.launched("bisect", *command[4:], "--out", str(out))
    assert found.returncode == 0, found.stdout + found.stderr
    guilty = index.Nightly(package="torchao", day=days[2])
    assert f"torchao {guilty.version}" in found.stdout, found.stdout + found.stderr

    mended = index.a_night(today(-1), torchao={})
    with tracker_on_this_machine() as tracker:
        told = {"GITHUB_API_URL": tracker.url, "GITHUB_REPOSITORY": "owner/name", "GITHUB_TOKEN": TOKEN}
        followed = replace(host, variables=told)
        asked = ("--bisects", str(bisects), "--expect", "flux1-dev", "--index", host.nightlies.as_uri())
        done = followed.launched("nightly", str(night.folder), *asked)
        assert done.returncode == 0, done.stdout + done.stderr
        (issue,) = tracker.issues.values()
        assert issue["state"] == "open"
        assert issue["title"] == f"torchao {guilty.version}: arithmetic of {MXFP8} is red"

        index.nights(host.nightlies, mended)
        green = host.session(*ASKED, "--date", today(-1))
        assert green.code == ExitCode.GREEN, green.text
        done = followed.launched("nightly", str(green.folder), *asked)
        assert done.returncode == 0, done.stdout + done.stderr
        (issue,) = tracker.issues.values()
        assert issue["state"] == "closed"
