"""A night is what its day offers, told with its age; what is not tonight's is red before anything is installed."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from fixtures.catalog.packages import nightly
from fixtures.stack import environment as env
from fixtures.stack.index import offered
from fixtures.stack.install import InstallFailed
from fixtures.stack.install import installed as held_by
from fixtures.stack.requirements import Environment, InstallStep
from fixtures.stack.tonight import Night, Nights, ages, ages_text, night_of
from fixtures.stack.versions import Here, IndexFile, usable
from tests.suite.index_stand_in import Index, serving
from tests.suite.tiny_wheels import make_wheel

HERE = Here(tags=["py3-none-any"], python="3.11.7", cuda=130)
DAYS = [datetime.date(2026, 10, 30) + datetime.timedelta(days) for days in range(5)]
"""2026-10-30 to 2026-11-03."""
VERSIONS = {"torch": "2.12.0.dev{:%Y%m%d}", "torchvision": "0.27.0.dev{:%Y%m%d}", "torchao": "0.19.0.dev{:%Y%m%d}"}


def wheels(package: str, days: Iterable[datetime.date], **more: str) -> list[IndexFile]:
    versions = [VERSIONS[package].format(day) for day in days]
    return [IndexFile(filename=f"{package}-{one}-py3-none-any.whl", url="https://index/x", **more) for one in versions]


def night(day: str, files: dict[str, list[IndexFile]], ran: dict[str, str] | None = None) -> Night:
    return night_of(day, {package: usable(each, HERE) for package, each in files.items()}, ran=ran)


def test_torch_waits_for_its_torchvision_and_the_reader_is_told() -> None:
    found = night(
        "2026-11-03",
        {
            "torch": wheels("torch", DAYS),
            "torchvision": wheels("torchvision", DAYS[:3]),
            "torchao": wheels("torchao", DAYS),
        },
    )
    assert found.versions == {
        "torch": "2.12.0.dev20261101", "torchvision": "0.27.0.dev20261101", "torchao": "0.19.0.dev20261103",
    }  # fmt: skip
    assert found.remarks == (
        (
            "torch 2.12.0.dev20261103 is there, and torchvision of its day is not: 2.12.0.dev20261101 is the newest "
            "that has both"
        ),
        "they are of different days",
    )
    assert found.told()[0] == (
        "nightlies of 2026-11-03: torch 2.12.0.dev20261101 (2 days old), torchvision 0.27.0.dev20261101 (2 days old), "
        "torchao 0.19.0.dev20261103 (0 days old)"
    )


def test_one_package_without_tonights_nightly_takes_its_last_one_with_its_age() -> None:
    found = night("2026-11-03", {"torch": wheels("torch", DAYS), "torchao": wheels("torchao", DAYS[:4])})
    assert ages(found.versions, found.day) == {"torch": 0, "torchao": 1}
    assert "torchao 0.19.0.dev20261102 (1 day old)" in ages_text(found.versions, found.day)


@pytest.mark.parametrize(("day", "age"), [("2026-11-03", 4), ("2026-11-06", 7), ("2026-11-07", 8), ("2027-07-01", 244)])
def test_nightly_older_than_a_week_is_red_by_the_date_that_was_asked_for(day: str, age: int) -> None:
    files = {"torch": wheels("torch", DAYS[:1]), "torchao": wheels("torchao", [datetime.date.fromisoformat(day)])}
    if age <= 7:
        assert ages(night(day, files).versions, day)["torch"] == age
        return
    with pytest.raises(InstallFailed) as caught:
        night(day, files)
    assert str(caught.value) == (
        f"the newest nightlies up to {day} are more than 7 days old: torch 2.12.0.dev20261030 ({age} days old); they "
        "are of different days; take another index (--cuda, --index), or judge them knowingly with --torch "
        "2.12.0.dev20261030"
    )


def test_yanked_wheel_is_not_taken_and_named() -> None:
    files = [*wheels("torch", DAYS[:4]), *wheels("torch", DAYS[4:], yanked="miscompiles attention")]
    found = night("2026-11-03", {"torch": files})
    assert found.versions == {"torch": "2.12.0.dev20261102"}
    assert found.remarks == (
        "torch: torch-2.12.0.dev20261103-py3-none-any.whl is left out: yanked: miscompiles attention",
    )


def test_index_with_wheels_of_another_architecture_only_says_so() -> None:
    files = [
        IndexFile(filename=f"torch-2.12.0.dev{day:%Y%m%d}-cp311-cp311-manylinux_2_28_aarch64.whl", url="x")
        for day in DAYS
    ]
    with pytest.raises(InstallFailed) as caught:
        night("2026-11-03", {"torch": files})
    assert str(caught.value) == (
        "no nightly of torch up to 2026-11-03 fits here: the index has "
        "torch-2.12.0.dev20261103-cp311-cp311-manylinux_2_28_aarch64.whl (and 4 more days), built for "
        "cp311-cp311-manylinux_2_28_aarch64, not for this Python and platform"
    )
    with pytest.raises(InstallFailed, match="fits here: the index offers none"):
        night("2026-11-03", {"torch": []})


def test_torch_and_torchvision_that_never_share_a_day_are_red() -> None:
    with pytest.raises(InstallFailed, match="no nightly of torch has one of torchvision of the same day"):
        night("2026-11-03", {"torch": wheels("torch", DAYS[3:]), "torchvision": wheels("torchvision", DAYS[:2])})


def test_pair_that_ran_is_preferred_to_packages_that_never_met() -> None:
    files = {"torch": wheels("torch", DAYS), "torchao": wheels("torchao", DAYS)}
    ran = {"torch": "2.12.0.dev20261102", "torchao": "0.19.0.dev20261031"}
    found = night("2026-11-03", files, ran)
    assert found.versions == ran
    assert found.remarks[0] == "the stack that ran on 2026-11-03 is taken again"
    gone = ran | {"torchao": "0.19.0.dev20260801"}
    assert night("2026-11-03", files, gone).versions["torch"] == "2.12.0.dev20261103", "the index has not all of it"


def test_night_is_remembered_whole_and_once(tmp_path: Path) -> None:
    nights, first = Nights(folder=tmp_path / "nights"), Night(day="2026-11-01", versions={"torch": "1", "torchao": "2"})
    assert nights.ran("2026-11-01", "https://x") is None
    nights.keep(Night(day="2026-11-01", versions={"torch": "1"}), "https://x", ["torch", "torchao"])
    assert nights.ran("2026-11-01", "https://x") is None, "a part of a night is none"
    nights.keep(first, "https://x/", ["torch", "torchao"])
    nights.keep(Night(day="2026-11-01", versions={"torch": "3", "torchao": "3"}), "https://x", ["torch", "torchao"])
    assert nights.ran("2026-11-01", "https://x") == first.versions
    assert nights.ran("2026-11-01", "https://y") is None
    nights.path("2026-11-01", "https://x").write_text("[")
    assert nights.ran("2026-11-01", "https://x") is None


# ---- through the installer -----------------------------------------------------------------------------------------


@pytest.fixture
def nightly_index(tmp_path: Path) -> Index:
    """Tonight's nightlies, from a real index; torch needs something that only another index has."""
    folder = tmp_path / "nightly"
    folder.mkdir()
    versions = {**VERSIONS, "mslk": "2026.{0.month}.{0.day}"}
    for package in nightly():
        for day in DAYS:
            needs = ["tinydependency"] if package == "torch" else []
            make_wheel(folder, package, versions[package].format(day), requires=needs)
    return Index(folder=folder)


def make(tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str], str]:
    """`python -m fixtures.stack.environment nightly -- ARGUMENTS` on tiny wheels alone: code, answer, what was said."""
    code = env.main(
        ["nightly", "--home", str(tmp_path / "home"), "--", *arguments], ask=offered, requirements=["tinydependency"]
    )
    said = capsys.readouterr()
    return code, json.loads(said.out or "{}"), said.err


def test_a_dependency_that_only_the_machines_own_index_has_is_found_and_the_night_is_what_it_says(
    tmp_path: Path, nightly_index: Index, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real: two indexes, uv, and an environment; then the next question of the same day, when the index has moved."""
    released = Index(folder=tmp_path / "released")
    released.folder.mkdir()
    make_wheel(released.folder, "tinydependency", "1.0")
    make_wheel(released.folder, "torch", "9.0")  # a release newer than any nightly, as on PyPI
    nightly_index.hidden |= {"2.12.0.dev20261103"}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serving(nightly_index) as address, serving(released) as own:
        monkeypatch.setenv("UV_DEFAULT_INDEX", own)
        arguments = ["--index", address, "--date", "2026-11-03"]
        code, answer, said = make(tmp_path, arguments, capsys)
        assert code == 0, said
        assert answer["night"] == "2026-11-03"
        assert "torch 2.12.0.dev20261102 (1 day old)" in said
        assert "torchao 0.19.0.dev20261103 (0 days old)" in said
        held = held_by(Path(answer["python"]))
        assert (held["torch"], held["torchvision"]) == ("2.12.0.dev20261102", "0.27.0.dev20261102")
        assert (held["mslk"], held["tinydependency"]) == ("2026.11.3", "1.0")

        nightly_index.hidden.clear()
        _, _, said = make(tmp_path, arguments, capsys)
        assert "torch 2.12.0.dev20261102 (1 day old)" in said, "one stack for a whole night"
        assert "the stack that ran on 2026-11-03 is taken again" in said


@pytest.mark.parametrize(
    ("date", "hidden", "words"),
    [
        (
            "2026-12-24",
            "",
            "the newest nightlies up to 2026-12-24 are more than 7 days old: torch 2.12.0.dev20261103 (51 days",
        ),
        ("2026-11-03", "torchao", "no nightly of torchao up to 2026-11-03 fits here: the index offers none"),
    ],
)
def test_frozen_index_and_missing_package_end_the_lane_with_a_sentence_and_install_nothing(
    tmp_path: Path,
    nightly_index: Index,
    capsys: pytest.CaptureFixture[str],
    date: str,
    hidden: str,
    words: str,
) -> None:
    for path in nightly_index.folder.glob(f"{hidden}-*" if hidden else "nothing"):
        path.unlink()
    with serving(nightly_index) as address:
        code, answer, said = make(tmp_path, ["--index", address, "--date", date], capsys)
    assert (code, answer) == (env.EXIT_ERROR, {})
    assert re.search(re.escape(words), said)
    assert not (tmp_path / "home").exists()


def test_installation_that_is_not_the_night_is_refused(tmp_path: Path) -> None:
    """An installer that keeps what it has, as pip does with a torch of another month."""
    step = InstallStep(requirements=("torch==2.12.0.dev20261103",), index="https://nowhere")
    with pytest.raises(InstallFailed, match=r"torch==2\.12\.0\.dev20261103 was asked for, and nothing is installed"):
        env.prepare(Environment(name="b200", steps=(step,)), tmp_path, install=lambda *_, **__: None)
    assert not (tmp_path / "b200" / env.STAMP).exists()
