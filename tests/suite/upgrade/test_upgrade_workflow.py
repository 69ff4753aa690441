"""The weekly workflow: what runs new releases may write nothing; pins and baselines alone reach the pull request."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures import ROOT

WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "upgrade.yml").read_text())
RAW, NEW = "torchao==0.1", "torchao==0.2"


def script(job: str, begins: str) -> str:
    (found,) = [one["run"] for one in WORKFLOW["jobs"][job]["steps"] if one.get("name", "").startswith(begins)]
    return str(found)


def test_what_runs_new_releases_may_write_nothing() -> None:
    rights = {name: job["permissions"] for name, job in WORKFLOW["jobs"].items()}
    assert rights["judge"] == {"contents": "read"}
    assert rights["propose"] == {"contents": "write", "pull-requests": "write"}
    assert "nox" not in "".join(step.get("run", "") for step in WORKFLOW["jobs"]["propose"]["steps"])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a pin and a baseline, whose origin is a folder."""
    folder = tmp_path / "checkout"
    git(tmp_path, "init", "--quiet", "--bare", "origin")
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "checkout")
    (folder / "baselines").mkdir()
    (folder / "pyproject.toml").write_text(f"{RAW}\n")
    (folder / "baselines" / "one.json").write_text("1\n")
    (folder / "README.md").write_text("as it is\n")
    (folder / ".gitignore").write_text("results/\nupgrade/\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "start")
    git(folder, "remote", "add", "origin", str(tmp_path / "origin"))
    return folder


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def proposed(checkout: Path) -> str:
    """Take the change as the first job does, undo it, and propose it as the second does; what `gh` was asked for."""
    shell(checkout, script("judge", "One change"))
    git(checkout, "reset", "--quiet", "--hard")
    (checkout / "results" / "upgrade" / "upgrade.md").touch()
    (checkout / "results" / "upgrade").rename(checkout / "upgrade")
    tools = checkout.parent / "tools"
    tools.mkdir()
    (tools / "gh").write_text(f'#!/bin/sh\necho "$@" > {checkout.parent}/asked\n')
    (tools / "gh").chmod(0o755)
    shell(checkout, script("propose", "Propose"), PATH=f"{tools}:{os.environ['PATH']}")
    asked = checkout.parent / "asked"
    return asked.read_text() if asked.exists() else ""


def shell(folder: Path, text: str, **variables: str) -> None:
    told = os.environ | {"GITHUB_RUN_ID": "7", "GITHUB_REF_NAME": "main"} | variables
    subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=folder, env=told, check=True, capture_output=True)


def test_pins_and_baselines_alone_reach_the_pull_request(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text(f"{NEW}\n")
    (checkout / "baselines" / "two.json").write_text("2\n")
    (checkout / "README.md").write_text("what a release wrote\n")
    assert "--base main --head upgrade/7" in proposed(checkout)
    changed = git(checkout.parent / "origin", "show", "--name-only", "--format=%s", "upgrade/7").split("\n")
    assert changed == ["Upgrade: the newest releases", "", "baselines/two.json", "pyproject.toml", ""]


def test_nothing_newer_proposes_nothing(checkout: Path) -> None:
    assert proposed(checkout) == ""
    assert git(checkout.parent / "origin", "branch") == ""
