"""Describes a simulated host, and runs things on it: every process that is started with its variables is on it."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fixtures import ROOT
from fixtures.catalog import models, packages
from fixtures.pipelines.load import SHIPPED
from fixtures.results.run import RunUnreadable, read_run
from tests.suite.b200 import index
from tests.suite.gate_runs import METRIC, Outcome
from tests.suite.hub_stand_in import into_cache, repository

HERE = Path(__file__).parent
GB = 10**9


def gpu(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A B200 with nobody on it, or what `changes` make of it."""
    return {
        "name": "NVIDIA B200",
        "uuid": f"GPU-b2000000-0000-0000-0000-00000000000{number}",
        "sm": [10, 0],
        "memory_bytes": 192 * GB,
        "free_bytes": 191 * GB,
        "processes": [],
        "throttle": 0,
    } | changes


@dataclass(kw_only=True)
class Host:
    """A computer below `folder`, with a hub cache, baselines and results of its own."""

    folder: Path
    gpus: list[dict[str, Any]] = field(default_factory=lambda: [gpu()])
    driver: str = "580.95.05"
    cuda: int = 13000
    planted: list[dict[str, str]] = field(default_factory=list)
    """Code that runs after a module was imported, in its names: what a nightly broke."""
    disk_free_bytes: int | None = None
    """Of every disk; None: what there is."""
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        """Where HF_HOME is."""
        return self.folder / "hub"

    @property
    def packages(self) -> Path:
        """The index that stands for PyPI."""
        return self.folder / "pypi"

    @property
    def nightlies(self) -> Path:
        """The index of nightlies."""
        return self.folder / "nightlies"

    def fill_cache(self, *names: str) -> None:
        """Put the tiny checkpoints into the hub cache at the published revisions: of these models, or of all."""
        for model in models().values():
            if "tiny" in model.samplings and (not names or model.name in names):
                made = self.folder / "repositories" / model.name
                into_cache(repository(SHIPPED / model.name, made, model.component), self.cache, model)

    def environment(self) -> dict[str, str]:
        """The variables of a process on this host."""
        description = {
            "gpus": self.gpus,
            "driver": self.driver,
            "cuda": self.cuda,
            "planted": self.planted,
            "disk_free_bytes": self.disk_free_bytes,
        }
        (self.folder / "baselines").mkdir(parents=True, exist_ok=True)
        path = self.folder / "host.json"
        path.write_text(json.dumps(description, indent=1), encoding="utf-8")
        if not self.packages.exists():
            index.everyday(self.packages)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "CUDA_", "GATE_", "MSLK_", "PYTEST_", "PIP_", "UV_"))
        }
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join([str(HERE / "site"), str(ROOT)]),
            "SIMULATED_HOST": str(path),
            "HF_HOME": str(self.cache),
            "HF_HUB_OFFLINE": "1",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "PIP_CONFIG_FILE": os.devnull,
            "UV_NO_CONFIG": "1",
            "UV_DEFAULT_INDEX": self.packages.as_uri(),
            "UV_CACHE_DIR": str(self.folder / "uv"),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "140",
            **self.variables,
        }

    def python(self, *arguments: str, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run Python on this host, in the repository."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment() | dict(variables or {}),
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )

    def night(self, *arguments: str, lane: str = "b200", variables: Mapping[str, str] | None = None) -> Outcome:
        """One run of the lane, as the session starts it once its environment is there."""
        results = self.folder / f"results-{len(list(self.folder.glob('results-*')))}"
        command = ["-m", "pytest", "tests/gate", "-p", "no:cacheprovider", "--lane", lane, "--metric", METRIC]
        command += ["--results", str(results), "--baselines", str(self.folder / "baselines"), *arguments]
        return self.outcome(results, self.python(*command, variables=packages.variables() | dict(variables or {})))

    def session(self, *given: str, name: str = "b200") -> Outcome:
        """A session as nox starts it: looks, installs from the host's indexes, judges."""
        results = self.folder / f"results-{len(list(self.folder.glob('results-*')))}"
        chosen = list(given)
        options = {
            "--index": self.nightlies.as_uri(),
            "--metric": METRIC,
            "--baselines": str(self.folder / "baselines"),
            "--results": str(results),
        }
        for option, value in options.items():
            chosen += [] if option in given else [option, value]
        return self.outcome(results, self.launched(name, *chosen))

    def launched(self, name: str, *given: str) -> subprocess.CompletedProcess[str]:
        """What nox runs for a session."""
        homes = ["--home", str(self.folder / "environments"), "--from", str(ROOT)]
        return self.python("-m", "fixtures.run.launch", name, *homes, "--", *given)

    def typed(self, command: Sequence[str], *, reason: str = "a first night") -> Outcome:
        """What a run printed, typed as printed; `...` is the user's to fill in."""
        nox, option, name, separator, *given = command
        assert (nox, option, separator) == ("nox", "-s", "--")
        return self.session(*(reason if word == "..." else word for word in given), name=name)

    def outcome(self, results: Path, done: subprocess.CompletedProcess[str]) -> Outcome:
        """What a run that left its files in `results` came to."""
        try:
            records = read_run(results / "latest").records
        except RunUnreadable:
            records = ()
        text = done.stdout + done.stderr
        return Outcome(code=done.returncode, text=text, folder=(results / "latest").resolve(), records=records)


def today(ago: int = 0) -> str:
    """The day of tonight's nightlies, in UTC, or the day so many before."""
    return (datetime.datetime.now(tz=datetime.UTC).date() - datetime.timedelta(days=ago)).isoformat()
