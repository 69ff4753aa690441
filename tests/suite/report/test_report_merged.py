"""Several runs as one: one verdict, the reds of all first; what is missing is said and costs the others nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fixtures.gates.verdict import Check, ExitCode, Verdict, against, equals
from fixtures.report.__main__ import main
from fixtures.report.merged import Merged, gather, merge
from fixtures.report.summary import summarise
from fixtures.results.run import INTERRUPTED, RECORDS, RunFolder, read_run
from tests.suite.record_samples import STACK, header, record
from tests.suite.report.test_report import EVIL, Page, only_the_pages_own_script

FLUX, QWEN, LTX = (f"{model}/nvfp4-hub-bs1-regional" for model in ("flux1-dev", "qwen-image", "ltx-2"))
SLOW = against("speedup", 1.2, floor=1.4, unit="x", interval=(1.19, 1.21))
FAST = against("speedup", 1.5, floor=1.4, unit="x", interval=(1.49, 1.51))


def host(
    root: Path, name: str, case: str, *checks: Check, finished: bool = True, stack: dict[str, str] | None = None
) -> Path:
    """What one host of a night leaves: a passed gate, and one with these checks."""
    folder = RunFolder.create(root / name, f"20261101T020000Z-{name}")
    folder.write_header(header(folder.path.name, cases=[case], lane="b200", planned=2, stack=stack or STACK))
    folder.append(record("calls", case, [equals("denoiser calls", 28, 28)]))
    for check in checks:
        folder.append(record("speed", case, [check]))
    if finished:
        folder.finish()
    return folder.path


def merged(out: Path) -> tuple[Merged, str]:
    """The JSON and the page that a command wrote."""
    return Merged.model_validate_json(out.with_suffix(".json").read_bytes()), out.read_text()


def test_hosts_of_a_night_have_one_verdict_and_their_reds_come_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night = [host(tmp_path, "a", FLUX, FAST), host(tmp_path, "b", QWEN, SLOW), host(tmp_path, "c", LTX, FAST)]
    assert main([*map(str, night), "--out", str(tmp_path / "night.html")]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path / "night.html")
    assert said.err.strip() == "red over 3 runs, exit code 1: at least one gate failed"
    whole, page = merged(tmp_path / "night.html")
    assert (whole.verdict, whole.exit_code) == ("red", ExitCode.FAIL)
    assert whole.counts == {"fail": 1, "pass": 5}
    assert [(red.run, red.case, red.gate) for red in whole.reds] == [("20261101T020000Z-b", QWEN, "speed")]
    assert whole.next == ["nox", "-s", "bisect", "--", "--case", QWEN, "--gate", "speed"]
    assert [run.verdict for run in whole.runs] == ["green", "red", "green"]
    parsed = Page(page)
    text = parsed.words()
    assert text.startswith("RED 1 fail, 5 pass in 3 runs At least one gate failed. next nox -s bisect")
    assert text.count("RED") == 1
    sections = [attributes["id"] or "" for tag, attributes in parsed.tags if tag == "section"]
    assert sections[0].endswith(QWEN)
    assert len(sections) == 3
    rows = text[text.index("Every gate of every case") :]
    assert rows.index(QWEN) < rows.index(FLUX) < rows.index(LTX)
    assert text.count("0.18.0") == 1, "a stack that all share is told once"
    assert "differs" not in text


def test_merged_page_is_whole(tmp_path: Path) -> None:
    night = [host(tmp_path, "a", FLUX, FAST), host(tmp_path, "b", FLUX, SLOW), host(tmp_path, "c", LTX, finished=False)]
    assert main([*map(str, night), "--out", str(tmp_path / "night.html")]) == 0
    page = (tmp_path / "night.html").read_text()
    parsed = Page(page)
    assert parsed.open == []
    only_the_pages_own_script(page)
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids)), "one case on two hosts has two places"
    links = {(attributes["href"] or "").removeprefix("#") for tag, attributes in parsed.tags if tag == "a"}
    assert links <= set(ids)
    assert 'class="speedbar"' not in page, "what emulation costs is no speedup"


def test_stacks_that_differ_are_told_with_whose_they_are(tmp_path: Path) -> None:
    newer = {**STACK, "torchao": "0.19.0", "mslk": "1.0"}
    night = [host(tmp_path, "a", FLUX), host(tmp_path, "b", QWEN), host(tmp_path, "c", LTX, stack=newer)]
    assert main([*map(str, night), "--out", str(tmp_path / "night.html")]) == 0
    whole, page = merged(tmp_path / "night.html")
    assert whole.verdict == "green"
    assert whole.stack == {name: STACK[name] for name in ("torch", "diffusers", "transformers")}
    alike, alone = ["20261101T020000Z-a", "20261101T020000Z-b"], ["20261101T020000Z-c"]
    assert whole.differing == {
        "torchao": {"0.18.0": alike, "0.19.0": alone},
        "mslk": {"absent": alike, "1.0": alone},
    }
    words = Page(page).words()
    assert f"torchao differs 0.18.0 in {alike[0]} and {alike[1]}; 0.19.0 in {alone[0]}" in words


def test_damaged_and_unfinished_folders_are_told_and_cost_the_others_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = host(tmp_path, "a", FLUX, FAST)
    cut = host(tmp_path, "b", QWEN, finished=False)
    broken = host(tmp_path, "c", LTX, FAST)
    (broken / RECORDS).write_text('{"schema": 2}\n' + (broken / RECORDS).read_text())
    out = tmp_path / "night.html"
    assert main([str(good), str(cut), str(broken), str(tmp_path / "nowhere"), "--out", str(out)]) == 4
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"{broken / RECORDS} line 1 is damaged: run: field required")
    assert said[1].startswith(f"{tmp_path / 'nowhere'} is no folder")
    whole, page = merged(out)
    assert (whole.verdict, whole.exit_code) == ("unfinished", INTERRUPTED)
    assert whole.meaning == "2 runs cannot be read, so nothing is proven of them"
    assert [one.why for one in whole.lost] == said[:2]
    assert whole.counts == {"pass": 3}
    words = Page(page).words()
    assert words.startswith("UNFINISHED 3 pass in 2 runs 2 runs cannot be read, so nothing is proven of them.")
    for sentence in ("Run 20261101T020000Z-b had come to 1 of 2 gates.", *said[:2]):
        assert " ".join(sentence.split()) in words
    assert page.count('class="gate pass"') == 3


def test_a_red_gate_beside_a_lost_run_is_red(tmp_path: Path) -> None:
    runs, lost = gather([host(tmp_path, "a", FLUX, SLOW), tmp_path / "nowhere"])
    whole = merge([summarise(run) for run in runs], lost=lost)
    assert (whole.verdict, whole.exit_code, len(whole.lost)) == ("red", ExitCode.FAIL, 1)


def test_nothing_is_green_without_a_run_of_each_expected_model(tmp_path: Path) -> None:
    night = [host(tmp_path, "a", FLUX, FAST), host(tmp_path, "b", QWEN, FAST)]
    expect = ["--expect", "flux1-dev", "--expect", "qwen-image"]
    out = tmp_path / "night.html"
    assert main([*map(str, night), "--out", str(out), *expect]) == 0
    assert merged(out)[0].verdict == "green"
    assert main([*map(str, night), "--out", str(out), *expect, "--expect", "ltx-2"]) == 0
    whole, page = merged(out)
    assert (whole.verdict, whole.exit_code, whole.absent) == ("unfinished", INTERRUPTED, ["ltx-2"])
    assert "No run of ltx-2 is here, so nothing is proven of it." in Page(page).words()


def test_a_run_counts_once_and_another_of_its_name_is_told(tmp_path: Path) -> None:
    folder = host(tmp_path, "a", FLUX, FAST)
    same, other = tmp_path / "same", tmp_path / "other"
    shutil.copytree(folder, same)
    shutil.copytree(folder, other)
    with (other / RECORDS).open("a") as file:
        file.write(record("digest", FLUX, [equals("n", 1, 1)]).model_dump_json(by_alias=True) + "\n")
    runs, lost = gather([folder, same, other])
    assert [run.folder for run in runs] == [folder]
    assert [one.why for one in lost] == [
        f"{other} holds other records of run {read_run(folder).name} than {folder}; name one of the two"
    ]


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ((ExitCode.GREEN, ExitCode.GREEN), ExitCode.GREEN),
        ((ExitCode.GREEN, INTERRUPTED), INTERRUPTED),
        ((INTERRUPTED, ExitCode.ONLY_SKIPS, ExitCode.UNSURE), ExitCode.UNSURE),
        ((ExitCode.UNSURE, ExitCode.ERROR), ExitCode.ERROR),
        ((ExitCode.ERROR, ExitCode.FAIL), ExitCode.FAIL),
    ],
)
def test_the_worst_exit_code_is_the_whole_ones(tmp_path: Path, codes: tuple[int, ...], worst: int) -> None:
    one = summarise(read_run(host(tmp_path, "a", FLUX)))
    whole = merge([one.model_copy(update={"exit_code": code}) for code in codes])
    assert whole.exit_code == worst


def test_no_runs_are_not_green() -> None:
    assert merge([]).verdict == "unfinished"


def test_reds_of_several_runs_are_in_order_of_weight(tmp_path: Path) -> None:
    unsure = against("speedup", 1.4, floor=1.4, unit="x", interval=(1.3, 1.5))
    runs, _ = gather([host(tmp_path, "a", FLUX, unsure), host(tmp_path, "b", QWEN, SLOW)])
    whole = merge([summarise(run) for run in runs])
    assert [red.verdict for red in whole.reds] == [Verdict.FAIL, Verdict.UNSURE]


def test_what_is_lost_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    folders = [str(host(tmp_path, "a", FLUX)), str(tmp_path / EVIL.replace("/", "|"))]
    assert main([*folders, "--out", str(tmp_path / "x.html"), "--expect", EVIL]) == 4
    page = (tmp_path / "x.html").read_text()
    assert Page(page).open == []
    assert not [tag for tag, attributes in Page(page).tags if "onerror" in attributes]
    only_the_pages_own_script(page)
    assert json.loads((tmp_path / "x.json").read_text())["absent"] == [EVIL]
