"""Dates become versions of the nightly index and commits of main; what an environment resolved to becomes a lock file.

The indexes are folders and functions here; the repository of diffusers is one that the test makes.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.pylock import Pylock

from fixtures.stack import environment as env
from fixtures.stack.index import IndexSilent
from fixtures.stack.lock import Installed, installed_in, lock, without_credentials
from fixtures.stack.nightlies import as_date, dated, index_for, main_at
from fixtures.stack.requirements import NIGHTLY_INDEX, BadOverride, Environment, Step
from fixtures.stack.versions import IndexFile
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


def resolved(given: dict[str, str], date: str | None = None) -> dict[str, str]:
    return dated(given, date=date, index=INDEX, python=PYTHON, ask=ask, main_of=lambda day: f"main-at-{day}")


def test_date_takes_what_the_index_held_on_that_day() -> None:
    assert resolved({}, "2026-11-01") == {
        "torch": "2.12.0.dev20261101+cu130",
        "torchvision": "0.27.0.dev20261101+cu130",
        "torchao": "0.19.0.dev20261031+cu130",
        "mslk": "2026.11.1+cu130",
    }


def test_each_package_has_its_own_date_and_overrides_win() -> None:
    assert resolved({"torchao": "20261102", "mslk": "1.2.0"}) == {
        "torchao": "0.19.0.dev20261102+cu130",
        "mslk": "1.2.0",
    }
    assert resolved({"mslk": "2026-10-31"}, "2026-11-03")["mslk"] == "2026.10.30+cu130"


@pytest.mark.parametrize(
    ("given", "date", "commit"),
    [("main", None, None), ("main", "20261101", "2026-11-01"), ("main@2026-10-30", "2026-11-01", "2026-10-30")],
)
def test_diffusers_comes_from_main_on_request(given: str, date: str | None, commit: str | None) -> None:
    assert resolved({"diffusers": given}, date)["diffusers"].endswith(f"huggingface/diffusers@main-at-{commit}")
    assert "diffusers" not in resolved({}, "2026-11-01")


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
        commit = main_at(day, repository=repository.as_uri())
        shown = ["git", "-C", str(repository), "log", "-1", "--format=%s", commit]
        return subprocess.run(shown, capture_output=True, text=True, check=True).stdout.strip()

    assert [subject(day) for day in ("2026-10-31", "2026-11-01", None)] == ["2026-10-30", "2026-11-01", "2026-11-01"]
    with pytest.raises(BadOverride, match="is younger than that"):
        main_at("2026-10-29", repository=repository.as_uri())
    with pytest.raises(BadOverride, match="cannot be read"):
        main_at(None, repository=(tmp_path / "nowhere").as_uri())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadOverride, match="git is not installed"):
        main_at(None)


def test_silent_index_ends_the_lane_and_not_a_rehearsal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = (tmp_path / "nowhere").as_uri()
    environment, _, rest = env.choose("rehearsal", ["--index", nowhere, "--date", "2026-11-01", "-x"], tmp_path)
    assert (environment.name, rest) == ("suite", ("-x",))
    said = capsys.readouterr().err
    assert said == (
        f"the package index {nowhere} is no folder; the rehearsal goes on with the released stack that pyproject.toml "
        "pins\n"
    )


# ---- the lock file -------------------------------------------------------------------------------------------------


def test_lock_file_holds_every_wheel_with_its_hash_and_no_password() -> None:
    entries = [
        Installed(name="torchao", version="0.19.0.dev20261101+cu130", tags=("cp311-cp311-linux_x86_64",)),
        Installed(name="Pillow", version="13.0", tags=("py3-none-any",)),
        Installed(
            name="diffusers",
            version="0.43.0.dev0",
            direct={"url": "https://me:secret@host/diffusers", "vcs_info": {"vcs": "git", "commit_id": "a" * 40}},
        ),
        Installed(
            name="mine", version="1", direct={"url": "file:///home/me/my%20code", "dir_info": {"editable": True}}
        ),
        Installed(name="lost", version="3", tags=("py3-none-any",)),
    ]
    pages = {
        ("torchao", "nightly"): [
            "torchao-0.19.0.dev20261101+cu130-cp312-cp312-linux_x86_64.whl",
            "torchao-0.19.0.dev20261101+cpu-cp311-cp311-linux_x86_64.whl",
            "torchao-0.19.0.dev20261101+cu130-cp311-cp311-linux_x86_64.whl",
        ],
        ("Pillow", "pypi"): ["pillow-13.0-py3-none-any.whl"],
    }

    def offering(package: str, sources: Iterable[str]) -> list[IndexFile]:
        (source,) = sources
        if (package, source) == ("lost", "pypi"):
            raise IndexSilent("the package index at https://me:secret@pypi/lost/ cannot be read: timed out")
        return [
            IndexFile(
                filename=name,
                url=f"https://me:secret@{source}/{name}",
                sha256=hashlib.sha256(name.encode()).hexdigest(),
            )
            for name in pages.get((package, source), [])
        ]

    locked = lock(entries, ["nightly", "pypi"], ask=offering)
    assert "secret" not in locked.text + "".join(locked.left_out)
    assert locked.left_out == [
        "lost 3 is not in the lock file: the package index at https://pypi/lost/ cannot be read: timed out"
    ]
    parsed = Pylock.from_dict(tomllib.loads(locked.text))
    found = {str(package.name): package for package in parsed.packages}
    assert set(found) == {"torchao", "pillow", "diffusers", "mine"}
    (wheel,) = found["torchao"].wheels or []
    assert wheel.name == "torchao-0.19.0.dev20261101+cu130-cp311-cp311-linux_x86_64.whl"
    assert wheel.hashes == {"sha256": hashlib.sha256(wheel.name.encode()).hexdigest()}
    assert found["diffusers"].vcs is not None
    assert found["diffusers"].vcs.commit_id == "a" * 40
    assert found["mine"].directory is not None
    assert found["mine"].directory.path == "/home/me/my code"


def test_moving_environment_leaves_a_lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real: a wheel from a folder that stands in for the index, installed and looked up again."""
    folder = tmp_path / "index" / "tinypackage"
    folder.mkdir(parents=True)
    wheel = make_wheel(folder, "tinypackage", "1.0.dev20261101")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "index.html").write_text(f'<a href="{wheel.name}#sha256={digest}">{wheel.name}</a>')
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    index = (tmp_path / "index").as_uri()
    step = Step(requirements=("tinypackage",), index=index)
    python = env.prepare(Environment(name="b200", steps=(step,)), tmp_path / "home")
    assert "tinypackage" in {entry.name for entry in installed_in(python)}
    parsed = Pylock.from_dict(tomllib.loads((tmp_path / "home" / "b200" / "pylock.toml").read_text()))
    (found,) = [package for package in parsed.packages if package.name == "tinypackage"]
    assert [dict(one.hashes) for one in found.wheels or []] == [{"sha256": digest}]


def test_credentials_go_from_any_address() -> None:
    assert without_credentials("see https://u:p@host/a and ssh://git@host/b") == "see https://host/a and ssh://host/b"
