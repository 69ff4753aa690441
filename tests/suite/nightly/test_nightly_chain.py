"""Three nights from a planted regression to a closed issue: real runs of the gate, a real bisect over an index of dated
wheels, and a tracker, all on this machine. Only what probes run is a stand-in for the suite."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fixtures.bisect.answer import Answer
from fixtures.faults import catalog
from fixtures.nightly import __main__ as nightly
from fixtures.nightly.follow_up import package_of
from fixtures.nightly.tracker import Issue
from fixtures.stack.installed import Stack, installed
from tests.suite.bisect_stand_in import wheels
from tests.suite.gate_runs import NVFP4, Gate, Outcome, gates
from tests.suite.index_stand_in import Index, serving
from tests.suite.tracker_stand_in import TOKEN, StandIn, tracker_on_this_machine

DAYS = [f"0.19.0.dev202611{day:02d}" for day in range(1, 10)]
LAST_GOOD, FIRST_BAD = "0.19.0.dev20261104", "0.19.0.dev20261105"
SECRETS = {"HF_TOKEN": "hf_planted_9876543210", "GITHUB_TOKEN": TOKEN}


@dataclass
class Nights:
    """The runner of a nightly job: what it has is in `folder`."""

    folder: Path
    gate: Gate
    tracker: StandIn
    index: Index
    bisect: Sequence[str]
    monkeypatch: pytest.MonkeyPatch
    said: str = ""

    def run(self, torchao: str, *, broken: bool) -> Outcome:
        """Tonight's run of the gate, with torchao of that day, broken or not."""
        here = installed()
        packages = tuple(replace(one, version=torchao) if one.name == "torchao" else one for one in here.packages)
        tonight = Stack(packages=packages, python=here.python, cuda=here.cuda)
        arguments = ["--case", NVFP4, *gates("calls", "velocity"), "--history", str(self.folder / "history")]
        with self.monkeypatch.context() as patch:
            patch.setattr("fixtures.run.session.installed", lambda: tonight)
            if not broken:
                return self.gate(*arguments)
            with catalog()["scale_result_is_ignored"].injected():
                return self.gate(*arguments)

    def asked(self) -> list[str]:
        """The versions that probes measured, in order."""
        return (self.folder / "suite" / "asked").read_text().split()

    def follow_up(self, number: int, run: Outcome) -> Path:
        """What the job does next; returns the folder of its bisects."""
        bisects = self.folder / f"night-{number}" / "bisects"
        where = ["--bisects", str(bisects), "--summary", str(self.folder / "summary.md")]
        arguments = [str(run.folder), "--expect", "flux1-dev", "--index", self.index.address, *where]
        code = nightly.main(arguments, bisect=self.bisect)
        assert code == 0
        return bisects


@pytest.fixture
def nights(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nights]:
    """A nightly index whose torchao turns bad on 2026-11-05, a tracker without issues, and planted tokens."""
    base = tmp_path / "base"
    subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", str(base)], check=True)
    index = Index(folder=wheels(tmp_path / "index", {day: "good" if day < FIRST_BAD else "bad" for day in DAYS}))
    index.hidden |= {DAYS[-1]}  # of tomorrow
    stand_in = (sys.executable, "-m", "tests.suite.bisect_stand_in", str(tmp_path / "suite"), str(base))
    with serving(index), tracker_on_this_machine() as tracker:
        told = {"GITHUB_API_URL": tracker.url, "GITHUB_REPOSITORY": "owner/name", **SECRETS}
        kept = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PIP_NO_INDEX": "1"}
        for name, value in {**told, **kept}.items():
            monkeypatch.setenv(name, value)
        for name in ("GITHUB_STEP_SUMMARY", "GITHUB_RUN_ID", "GATE_LOCK"):
            monkeypatch.delenv(name, raising=False)
        yield Nights(folder=tmp_path, gate=gate, tracker=tracker, index=index, bisect=stand_in, monkeypatch=monkeypatch)


def test_a_planted_regression_is_followed_to_its_issue_and_its_issue_to_its_end(
    nights: Nights, capfd: pytest.CaptureFixture[str]
) -> None:
    first = nights.run(DAYS[-2], broken=True)
    red = first.record("velocity")
    assert (first.code, red.verdict) == (1, "fail"), first.text
    question = ["--case", NVFP4, "--gate", "velocity", "--bad", f"torchao={DAYS[-2]}", "--nightly"]
    assert red.next[:11] == ["nox", "-s", "bisect", "--", *question]
    assert "--baselines" in red.next
    bisects = nights.follow_up(1, first)
    found = Answer.model_validate_json((bisects / "1" / "bisect.json").read_bytes())
    (step,) = found.culprits[0].steps
    assert (step.package, step.last_good.version, step.first_bad.version) == ("torchao", LAST_GOOD, FIRST_BAD)
    measured = nights.asked()
    assert set(measured) < set(DAYS), "halving passes some days over"
    (issue,) = nights.tracker.issues.values()
    assert package_of(Issue(number=1, body=issue["body"])) == "torchao"
    assert issue["title"] == f"torchao {FIRST_BAD}: velocity of {NVFP4} is red"
    evidence = (LAST_GOOD, FIRST_BAD, "9.5 dB", "≥ 12 dB", red.message.split(";")[0], f"torchao {DAYS[-2]}")
    for words in (*evidence, "# good", "# bad", f"--torchao {nights.folder / 'cache'}"):
        assert words in issue["body"], words

    nights.index.hidden.clear()
    second = nights.run(DAYS[-1], broken=True)
    nights.follow_up(2, second)
    (issue,) = nights.tracker.issues.values()
    assert (issue["state"], issue["title"]) == ("open", f"torchao {FIRST_BAD}: velocity of {NVFP4} is red")
    assert second.folder.name in issue["body"]
    assert first.folder.name not in issue["body"], "the body is of the last night"
    assert nights.tracker.comments == {1: [f"Still red: `{second.folder.name}` red."]}

    third = nights.run("0.19.0.dev20261110", broken=False)
    assert third.code == 0, third.text
    before = nights.asked()
    nights.follow_up(3, third)
    assert nights.asked() == before, "a green night asks for no bisect"
    (issue,) = nights.tracker.issues.values()
    assert issue["state"] == "closed"
    assert nights.tracker.comments[1][1].startswith(f"Green again: `{third.folder.name}` green. torch ")

    said = "".join(capfd.readouterr()) + first.text + second.text + third.text
    runs = [outcome.folder for outcome in (first, second, third)]
    files = [path for folder in (nights.folder, *runs) for path in folder.rglob("*") if path.is_file()]
    outputs = [path.read_text() for path in files if path.name == "output.txt"]
    assert outputs
    assert all("HF_TOKEN" in output for output in outputs), "this nightly prints what it is not asked for"
    assert not any("GITHUB_TOKEN" in output for output in outputs), "probes have no right to write issues"
    for secret in SECRETS.values():
        assert [str(path) for path in files if secret.encode() in path.read_bytes()] == []
        assert secret not in said
        assert secret not in "".join(nights.tracker.received)
    assert len(files) > 100
