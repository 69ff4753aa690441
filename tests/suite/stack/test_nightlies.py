"""Dates become versions of the nightly index and commits of main; what an environment resolved to becomes a lock file.

The indexes are folders and functions here; the repository of diffusers is one that the test makes.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.pylock import Package, Pylock

from fixtures.catalog.packages import nightly
from fixtures.stack import environment as env
from fixtures.stack.download import digest
from fixtures.stack.index import IndexSilent, offered, offered_through_uv
from fixtures.stack.install import find_uv
from fixtures.stack.lock import LOCK, lock, without_credentials
from fixtures.stack.nightlies import Ask, NightlyIndex, as_date, dated, index_for, main, main_at
from fixtures.stack.requirements import NIGHTLY_INDEX, BadOverride, Environment, InstallStep, split_arguments
from fixtures.stack.sources import Sources
from fixtures.stack.tonight import Night
from fixtures.stack.versions import IndexFile
from tests.suite.index_stand_in import Index, serving
from tests.suite.tiny_wheels import make_wheel

INDEX = NIGHTLY_INDEX
PYTHON = platform.python_version()
OFFERED = {
    "torch": ["2.12.0.dev20261030+cu130", "2.12.0.dev20261101+cu130", "2.12.0.dev20261103+cu130"],
    "torchvision": ["0.27.0.dev20261030+cu130", "0.27.0.dev20261101+cu130"],
    "torchao": ["0.19.0.dev20261031+cu130", "0.19.0.dev20261102+cu130"],
    "mslk": ["2026.10.30+cu130", "2026.11.1+cu130", "2026.11.2+cu130"],
}


def ask(package: str, sources: Iterable[str]) -> list[IndexFile]:
    assert list(sources) == [INDEX]
    return [
        IndexFile(filename=f"{package}-{version}-py3-none-any.whl", url="https://index/x.whl", sha256="0" * 64)
        for version in OFFERED[package]
    ]


def resolved(
    given: dict[str, str],
    date: str | None = None,
    *,
    today: str = "2026-11-03",
    ran: dict[str, dict[str, str]] | None = None,
    asking: Ask = ask,
) -> tuple[dict[str, str], Night]:
    def main_of(package: str, day: str | None) -> str:
        return f"{package}-at-{day}"

    index = NightlyIndex(address=INDEX, python=PYTHON, ask=asking)
    return dated(given, date=date, index=index, today=today, ran=(ran or {}).get, main_of=main_of)


def test_date_takes_what_the_index_held_on_that_day() -> None:
    given, night = resolved({}, "2026-11-01")
    assert (given, night.day) == ({}, "2026-11-01")
    assert night.versions == {
        "torch": "2.12.0.dev20261101+cu130",
        "torchvision": "0.27.0.dev20261101+cu130",
        "torchao": "0.19.0.dev20261031+cu130",
        "mslk": "2026.11.1+cu130",
    }


def test_each_package_has_its_own_date_and_overrides_win() -> None:
    given, night = resolved({"torchao": "20261102", "mslk": "1.2.0"})
    assert given == {"torchao": "0.19.0.dev20261102+cu130", "mslk": "1.2.0"}
    assert night.versions.keys() == {"torch", "torchvision"}
    assert resolved({"mslk": "2026-10-31"}, "2026-11-03")[0]["mslk"] == "2026.10.30+cu130"


def test_torchvision_is_of_the_day_of_a_torch_that_was_named() -> None:
    assert resolved({"torch": "2026-10-31"})[1].versions["torchvision"] == "0.27.0.dev20261030+cu130"
    assert "torchvision" not in resolved({"torch": "2.12.0.dev20261103"})[1].versions, "the installer may know one"


@pytest.mark.parametrize(
    ("given", "date", "commit"),
    [("main", None, None), ("main", "20261101", "2026-11-01"), ("main@2026-10-30", "2026-11-01", "2026-10-30")],
)
def test_diffusers_comes_from_main_on_request(given: str, date: str | None, commit: str | None) -> None:
    found = resolved({"diffusers": given}, date)[0]["diffusers"]
    assert found.endswith(f"huggingface/diffusers@diffusers-at-{commit}")
    assert "diffusers" not in resolved({}, "2026-11-01")[0]


def test_any_package_that_can_be_a_checkout_comes_from_its_own_main() -> None:
    assert resolved({"torchao": "main@2026-11-01"})[0] == {
        "torchao": "git+https://github.com/pytorch/ao@torchao-at-2026-11-01"
    }
    assert resolved({"torch": "main"})[0] == {"torch": "main"}  # which no installer takes


def test_noxs_interpreter_asks_the_index_through_uv(tmp_path: Path) -> None:
    make_wheel(tmp_path, "torchao", "0.19.0.dev20261101")
    with serving(Index(folder=tmp_path)) as address:
        found = offered_through_uv("torchao", [address])
        assert found == offered("torchao", [address])
    with pytest.raises(IndexSilent, match="cannot be read"):
        offered_through_uv("torchao", [address])


@pytest.mark.parametrize(
    ("given", "date", "words"),
    [
        ({}, "yesterday", "--date yesterday: no date; give one such as 2026-11-01"),
        ({"torch": "2026-10-01"}, None, "--torch 2026-10-01: torch=2026-10-01: no wheel of that day or before"),
        ({"diffusers": "main@soon"}, None, "after main@ comes a date"),
    ],
)
def test_bad_date_is_one_sentence(given: dict[str, str], date: str | None, words: str) -> None:
    with pytest.raises(BadOverride, match=re.escape(words)):
        resolved(given, date)


def test_night_is_printed_as_options_that_take_just_that_stack(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--date", "2026-11-03", "--index", INDEX], ask=ask) == 0
    said = capsys.readouterr()
    given, rest = split_arguments(said.out.split(), ("index", "date"))
    assert (rest, given["date"], given["index"]) == ((), "2026-11-03", INDEX)
    assert {name: given[name] for name in nightly()} == resolved({}, "2026-11-03")[1].versions
    assert "torch 2.12.0.dev20261101+cu130 (2 days old)" in said.err
    for arguments, code, words in (
        (["--date", "2026-12-24", "--index", INDEX], 7, "more than 7 days old"),
        (["--date", "soon"], 4, "--date soon: no date"),
    ):
        assert main(arguments, ask=ask) == code
        said = capsys.readouterr()
        assert (said.out, words in said.err) == ("", True)


def test_cuda_version_names_the_index() -> None:
    root = NIGHTLY_INDEX.rpartition("/")[0]
    assert [index_for(cuda, None) for cuda in ("13.0", "130", "cu128", "cpu", None)] == [
        f"{root}/{name}" for name in ("cu130", "cu130", "cu128", "cpu", "cu130")
    ]
    assert index_for(None, "https://mine") == "https://mine"
    for cuda, index, words in (("twelve", None, "no CUDA version"), ("13.0", "https://mine", "two indexes")):
        with pytest.raises(BadOverride, match=words):
            index_for(cuda, index)
    assert as_date("2.12.0") is None


def test_main_of_a_day_is_the_last_commit_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "diffusers"
    subprocess.run(["git", "init", "-q", "-b", "main", str(repository)], check=True)
    for day in ("2026-10-30", "2026-11-01"):
        when = {"GIT_AUTHOR_DATE": f"{day}T12:00:00Z", "GIT_COMMITTER_DATE": f"{day}T12:00:00Z"}
        who = ["-c", "user.name=t", "-c", "user.email=t@t"]
        command = ["git", "-C", str(repository), *who, "commit", "-q", "--allow-empty", "-m", day]
        subprocess.run(command, env=os.environ | when, check=True)

    def subject(day: str | None) -> str:
        commit = main_at("diffusers", day, repository=repository.as_uri())
        shown = ["git", "-C", str(repository), "log", "-1", "--format=%s", commit]
        return subprocess.run(shown, capture_output=True, text=True, check=True).stdout.strip()

    assert [subject(day) for day in ("2026-10-31", "2026-11-01", None)] == ["2026-10-30", "2026-11-01", "2026-11-01"]
    with pytest.raises(BadOverride, match="is younger than that"):
        main_at("diffusers", "2026-10-29", repository=repository.as_uri())
    with pytest.raises(BadOverride, match="cannot be read"):
        main_at("diffusers", None, repository=(tmp_path / "nowhere").as_uri())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadOverride, match="git is not installed"):
        main_at("diffusers", None)


def test_silent_index_ends_the_lane_and_not_a_rehearsal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = (tmp_path / "nowhere").as_uri()
    choice = env.choose("rehearsal", ["--index", nowhere, "--date", "2026-11-01", "-x"], tmp_path)
    assert (choice.environment.name, choice.rest, choice.night) == ("suite", ("-x",), None)
    said = capsys.readouterr().err
    assert said == (
        f"the package index {nowhere} is no folder; the rehearsal goes on with the released stack that pyproject.toml "
        "pins\n"
    )


# ---- the lock file -------------------------------------------------------------------------------------------------


def packages_of(text: str) -> dict[str, Package]:
    return {str(package.name): package for package in Pylock.from_dict(tomllib.loads(text)).packages}


def test_lock_file_holds_every_wheel_with_its_hash_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real: wheels of two indexes and one that no index has, a checkout and what git built, installed and looked up."""
    monkeypatch.setenv("UV_NO_CACHE", "1")
    indexes = [Index(folder=tmp_path / name) for name in ("nightly", "released")]
    for index, (name, version) in zip(indexes, [("tinyone", "1.0.dev20261101+cu130"), ("tinytwo", "2.0")], strict=True):
        index.folder.mkdir()
        make_wheel(index.folder, name, version)
    make_wheel(indexes[0].folder, "tinyone", "1.0.dev20261101+cpu")
    lost = make_wheel(tmp_path, "tinylost", "3.0")
    python = env.interpreter(tmp_path / "environment")
    env.make_environment(tmp_path / "environment")
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    with zipfile.ZipFile(lost) as wheel:
        wheel.extractall(site)  # no installer told where it came from
    for name in ("my code", "built"):
        (tmp_path / name).mkdir()
        project = f'[project]\nname = "{name.removesuffix(" code")}"\nversion = "1"\n'
        (tmp_path / name / "pyproject.toml").write_text(project)
    git = ["git", "-C", str(tmp_path / "built"), "-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    for name, folder, told in (
        ("my", "my code", {"dir_info": {"editable": True}}),
        ("built", "built", {"vcs_info": {"vcs": "git", "commit_id": head}}),
    ):
        info = site / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "direct_url.json").write_text(json.dumps({"url": (tmp_path / folder).as_uri(), **told}))
    with serving(indexes[0]) as first, serving(indexes[1]) as second:
        sources = Sources(index=second, extra=(first.replace("://", "://me:secret@"),))
        install = [find_uv(), "pip", "install", "--quiet", "--python", str(python), *sources.options()]
        subprocess.run([*install, "tinyone===1.0.dev20261101+cu130", "tinytwo"], check=True)
        locked = lock(python, sources)
        promised = digest(next(indexes[0].folder.glob("*cu130*")))
    assert "secret" not in locked.text + "".join(locked.left_out)
    assert len(locked.left_out) == 1
    assert locked.left_out[0].startswith("tinylost 3.0 is not in the lock file: tinylost cannot be installed: the pack")
    found = packages_of(locked.text)
    assert set(found) == {"tinyone", "tinytwo", "my", "built"}
    (wheel_,) = found["tinyone"].wheels or []
    assert (wheel_.url or "").endswith("tinyone-1.0.dev20261101+cu130-py3-none-any.whl")
    assert wheel_.hashes == {"sha256": promised}
    assert found["my"].directory is not None
    assert found["my"].directory.path == str(tmp_path / "my code")
    assert found["built"].vcs is not None
    assert found["built"].vcs.commit_id == head


def test_moving_environment_leaves_a_lock_file(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = make_wheel(folder, "tinypackage", "1.0.dev20261101")
    with serving(Index(folder=folder)) as index:
        step = InstallStep(requirements=("tinypackage",), index=index)
        env.prepare(Environment(name="b200", steps=(step,)), tmp_path / "home")
    found = packages_of((tmp_path / "home" / "b200" / LOCK).read_text())
    assert [dict(one.hashes) for one in found["tinypackage"].wheels or []] == [{"sha256": digest(wheel)}]


def test_credentials_go_from_any_address() -> None:
    assert without_credentials("see https://u:p@host/a and ssh://git@host/b") == "see https://host/a and ssh://host/b"
