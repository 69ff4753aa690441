"""The page: whole in one file, the verdict first, nothing in it that a message could inject."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from fixtures.gates.base import Lines, Quantity, Rounds
from fixtures.gates.shown import Comparison
from fixtures.gates.verdict import against, equals, errored
from fixtures.report.__main__ import main
from fixtures.report.embed import embed
from fixtures.report.html import TEMPLATES
from fixtures.report.page import page as page_of
from fixtures.report.pictures import save_pairs
from fixtures.report.speedups import speedups
from fixtures.report.write import write_summaries
from fixtures.results.records import OverrideRecord, PictureRecord
from fixtures.results.run import RunFolder, read_run
from tests.suite.record_samples import CASES, header, record, write_run

VOID = {"meta", "img", "input", "br", "link"}
EVIL = "<script>alert(1)</script> \"'><img src=x onerror=alert(2)> {{ 7 * 7 }}"


class Page(HTMLParser):
    """Tags with their attributes, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "title", "script"}:
            self.text.append(data)

    def words(self) -> str:
        """The text that a reader sees, in order."""
        return " ".join(" ".join(self.text).split())


def only_the_pages_own_script(page: str) -> None:
    """One script, the one that is shipped, and a policy under which a browser runs no other."""
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)
    shipped = (TEMPLATES / "page.js").read_text()
    assert scripts == [shipped]
    digest = base64.b64encode(hashlib.sha256(shipped.encode()).digest()).decode()
    assert (
        f"default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        in page
    )


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run with red gates."""
    return write_run(tmp_path_factory.mktemp("red"))


@pytest.fixture(scope="module")
def page(red: Path) -> str:
    """Its page."""
    return write_summaries(red)[1].read_text()


def test_the_page_opens_with_the_verdict_and_the_next_command(page: str) -> None:
    text = Page(page).words()
    assert text.startswith("RED 3 fail, 1 error, 1 unsure, 30 pass, 3 skip At least one gate failed.")
    assert text.index("nox -s rebaseline -- flux1-dev/bf16-tiny-bs2-eager") < 200
    assert "<title>RED: 3 fail" in page


def test_every_tag_is_closed_and_every_link_lands(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    anchors = {attributes["id"] for _, attributes in parsed.tags if attributes.get("id")}
    links = {attributes["href"] or "" for tag, attributes in parsed.tags if tag == "a"}
    assert len(links) > 30
    assert {link.removeprefix("#") for link in links} <= anchors


def test_the_page_needs_nothing_but_itself(page: str) -> None:
    parsed = Page(page)
    assert not {tag for tag, _ in parsed.tags} & {"link", "iframe", "object"}
    only_the_pages_own_script(page)
    sources = [attributes["src"] or "" for tag, attributes in parsed.tags if tag == "img"]
    quantized = [case for case in CASES if "bf16" not in case]
    of_gates, first_shown = 4 * len(quantized) * 3, 2 * len({case.partition("-bs")[0] for case in quantized})
    assert len(sources) == of_gates + first_shown
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"https?://|url\(|@import", page)


def test_red_cases_come_first(page: str) -> None:
    order = re.findall(r'<section class="case" id="[^"]*?(flux1-dev/[^"]+)"', page)
    assert sorted(order) == sorted(CASES)
    assert set(order[:4]) == {CASES[1], CASES[3], CASES[4], CASES[5]}


def test_the_page_tells_stack_metric_arithmetic_and_time(page: str) -> None:
    text = Page(page).words()
    for part in (
        "torch 2.14.1+cpu",
        "torchao 0.18.0",
        "lpips-alex",
        "emulated and native",
        "AMD EPYC 9R14",
        "time 2 min",
    ):
        assert part in text


def test_pictures_stand_side_by_side_with_their_distance(page: str, red: Path) -> None:
    entry = next(line for line in read_run(red).records if line.gate == "quality" and line.case == CASES[4])
    for picture in entry.pictures:
        assert picture.distance is not None
        assert f"<b>{picture.distance:.4g}</b>" in page
    assert Page(page).words().count("bf16 nvfp4 distance") == 8


def test_velocities_and_rounds_are_drawn(page: str) -> None:
    assert (
        page.count('class="line floor"')
        == page.count('class="line baseline"')
        == page.count('class="line measured"')
        == 4
    )
    assert page.count('class="median"') == 8


@dataclass(frozen=True)
class Apart:
    """A distance whose map is bright where the pictures differ."""

    value: float
    heat_map: npt.NDArray[np.float32]


def test_pictures_of_a_gate_are_files_of_the_run(tmp_path: Path) -> None:
    blank, noise = np.zeros((2, 8, 8, 3), np.float32), np.full((2, 8, 8, 3), np.nan, np.float32)
    near, far = (Apart(value, np.full((8, 8), value, np.float32)) for value in (0.25, float("nan")))
    shown = Comparison(
        sides=("stored", "tonight"),
        prompts=["a", "b"],
        reference=blank,
        candidate=noise,
        distances=[[near], [far]],
        ceiling=0.3,
    )
    first, second = save_pairs(tmp_path / "pictures" / "m" / "case", "reference", shown)
    assert (first.sides, first.distance, first.ceiling, second.distance) == (("stored", "tonight"), 0.25, 0.3, None)
    for name in (first.reference, first.candidate, first.heat_map, second.heat_map):
        assert (tmp_path / str(name)).is_file()
        assert str(name).startswith("pictures/m/case/reference-")


def hostile(root: Path) -> Path:
    """A run whose every text tries to break out."""
    folder = RunFolder.create(root, "run")
    folder.write_header(
        header(
            "run",
            overrides=[OverrideRecord(package=EVIL, given=EVIL)],
            stack={EVIL: EVIL},
            command=[EVIL],
            cases=[EVIL, "other" + EVIL],
            lane=EVIL,
        )
    )
    picture = PictureRecord(
        prompt=EVIL, sides=(EVIL, EVIL), reference=EVIL, candidate=EVIL, heat_map=EVIL, distance=0.5, ceiling=0.1
    )
    checks = [
        against(EVIL, 0.5, ceiling=0.1, unit=EVIL, source=EVIL, note=EVIL),
        errored(EVIL, EVIL),
        equals(EVIL, 2, 2, note=EVIL),
    ]
    extra: dict[str, Any] = {
        "pictures": [picture],
        "result": {EVIL: EVIL, "list": [EVIL]},
        "figures": [
            Lines(title=EVIL, by=EVIL, unit=EVIL, series={EVIL: [1.0, 2.0]}),
            Rounds(title=EVIL, unit=EVIL, series={EVIL: [1.0]}),
        ],
        "quantities": [Quantity(name=EVIL, value=1.0, unit=EVIL)],
        "traceback": EVIL,
        "note": EVIL,
        "reproduce": [EVIL],
        "next": [EVIL],
    }
    folder.append(record(EVIL, EVIL, checks, arithmetic=EVIL, metric=EVIL, seconds={EVIL: 1.0}, **extra))
    folder.append(record("quality", "skipped" + EVIL, [equals("x", 1, 1)]))
    folder.finish()
    return folder.path


def test_no_text_can_break_out_of_the_page(tmp_path: Path) -> None:
    page = write_summaries(hostile(tmp_path))[1].read_text()
    parsed = Page(page)
    assert parsed.open == []
    assert not [tag for tag, attributes in parsed.tags if "onerror" in attributes]
    only_the_pages_own_script(page)
    assert "49" not in Page(page).words().replace("149", "")
    assert "alert(1)" in parsed.words()


def test_a_message_survives_as_text(tmp_path: Path) -> None:
    page = write_summaries(hostile(tmp_path))[1].read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_run_cut_short_says_so(tmp_path: Path) -> None:
    text = Page(write_summaries(write_run(tmp_path, killed=True, red=False))[1].read_text()).words()
    assert text.startswith("UNFINISHED 18 pass, 1 skip The run did not come to its end, so nothing is proven.")
    assert "It had come to 19 of 40 gates." in text
    assert "blank: not run, or the gate does not speak about the case" in text
    assert f"No gate ran of {CASES[4]} and {CASES[5]}." in text


def test_the_summary_file_names_verdict_reds_and_skips(red: Path, page: str) -> None:
    assert page
    summary = json.loads((red / "report.json").read_text())
    assert (summary["verdict"], summary["exit_code"]) == ("red", 1)
    assert summary["counts"] == {"fail": 3, "error": 1, "unsure": 1, "pass": 30, "skip": 3}
    assert [entry["verdict"] for entry in summary["reds"]] == ["fail", "fail", "fail", "error", "unsure"]
    assert {skip["gate"] for skip in summary["skips"]} == {"digest"}
    assert summary["cases"][CASES[4]]["quality"] == "fail"
    assert "NaN" not in (red / "report.json").read_text()


def test_the_command_renders_one_run_beside_its_records(red: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(red.parent / "latest")]) == 0
    assert Path(capsys.readouterr().out.strip()).samefile(red / "report.html")


@pytest.mark.parametrize("arguments", [["nowhere"], ["."], ["nowhere", "--out", "x.html"]])
def test_a_bad_folder_is_one_sentence(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert arguments[0] in said.err
    assert "results/latest" in said.err


def test_a_page_that_cannot_be_written_is_one_sentence(red: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(red), "--out", str(red / "no" / "page.html")]) == 4
    assert "cannot be written" in capsys.readouterr().err


def picture(folder: Path, name: str, size: tuple[int, int], *, noise: bool = False) -> str:
    """A picture in the run's folder."""
    image = Image.effect_noise(size, 80).convert("RGB") if noise else Image.new("RGB", size, (9, 9, 9))
    image.save(folder / name)
    return name


def test_small_pictures_are_shown_as_they_are_and_large_ones_smaller(tmp_path: Path) -> None:
    small = embed(tmp_path, picture(tmp_path, "small.png", (128, 128)))
    large = embed(tmp_path, picture(tmp_path, "large.png", (1024, 1024), noise=True))
    strip = embed(tmp_path, picture(tmp_path, "strip.png", (900, 128)))
    assert small is not None
    assert large is not None
    assert strip is not None
    assert small.uri.startswith("data:image/png")
    assert large.uri.startswith("data:image/webp")
    assert len(large.uri) < (tmp_path / "large.png").stat().st_size
    assert (small.wide, large.wide, strip.wide) == (False, False, True)


@pytest.mark.parametrize("name", ["../outside.png", "/etc/passwd", "missing.png", "text.png", "a.svg", "", None])
def test_what_is_no_picture_of_the_run_is_not_shown(tmp_path: Path, name: str | None) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    picture(tmp_path, "outside.png", (8, 8))
    (folder / "text.png").write_text("secret")
    (folder / "a.svg").write_text("<svg onload='alert(1)'/>")
    assert embed(folder, name) is None


# ---- speedups and what moved ---------------------------------------------------------------------------------------


def test_speedups_are_bars_against_floor_published_figure_and_roofline(tmp_path: Path) -> None:
    case = "flux1-dev/nvfp4-hub-bs4-regional"
    folder = RunFolder.create(tmp_path, "run")
    folder.write_header(header("run", cases=[case]))
    check = against("speedup", 1.5, floor=1.442, unit="x", interval=(1.47, 1.53))
    folder.append(record("speed", case, [check], arithmetic="native"))
    meta = "flux1-dev/nvfp4-meta-bs4-eager"
    folder.append(record("roofline", meta, [against("speedup floor", 1.442, ceiling=2.06, unit="x")]))
    (bar,) = speedups(read_run(folder.path))
    assert (bar.value, bar.interval, bar.floor, bar.published, bar.bound) == (1.5, (1.47, 1.53), 1.442, 1.55, 2.06)
    page = page_of([read_run(folder.path)])
    assert "floor 1.442x published 1.55x at most 2.06x" in Page(page).words()
    for mark in ("floor", "published", "bound"):
        assert page.count(f'class="mark {mark}"') == 1


def test_a_case_that_tells_its_own_roofline_is_not_held_against_that_of_another_gpu(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run")
    folder.write_header(header("run", cases=["flux1-dev/fp8-random-bs4-regional"]))
    told = [Quantity(name="speedup", value=1.38, unit="x"), Quantity(name="roofline", value=1.67, unit="x")]
    speed = [against("speedup against baseline", 1.0, floor=0.9, unit="x")]
    folder.append(record("speed", "flux1-dev/fp8-random-bs4-regional", speed, arithmetic="native", quantities=told))
    meta = [against("speedup floor", 1.232, ceiling=1.41, unit="x")]
    folder.append(record("roofline", "flux1-dev/fp8-meta-bs4-eager", meta))
    (bar,) = speedups(read_run(folder.path))
    assert (bar.value, bar.floor, bar.bound) == (1.38, None, 1.67)


def test_what_emulation_costs_is_shown_as_no_speedup(tmp_path: Path) -> None:
    case = "flux1-dev/nvfp4-tiny-bs1-eager"
    folder = RunFolder.create(tmp_path, "run")
    folder.write_header(header("run", cases=[case]))
    folder.append(record("speed", case, [against("speedup", 0.4, floor=0.3, unit="x")]))
    assert speedups(read_run(folder.path)) == []


def test_page_names_what_moved_since_the_last_green_run(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run")
    green = {
        "run": "20261101T020000Z-aaaa",
        "started_at": "2026-11-01",
        "stack": {"torch": "2.14.1+cpu", "mslk": "1.0"},
    }
    folder.write_header(header("run", last_green=green, stack={"torch": "2.14.1+cpu", "mslk": "1.1", "torchao": EVIL}))
    folder.append(record("calls", CASES[0], [equals("calls", 1, 1)]))
    page = page_of([read_run(folder.path)])
    text = Page(page).words()
    since = text[text.index("Since the last green run") :]
    told = "Since the last green run ( 20261101T020000Z-aaaa ): mslk 1.0 → 1.1, torchao absent →"
    assert since.startswith(told), since
    only_the_pages_own_script(page)
