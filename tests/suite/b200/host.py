"""Describes a simulated host, and runs things on it: every process that is started with its variables is on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fixtures import ROOT
from fixtures.catalog import models
from fixtures.pipelines.load import SHIPPED
from fixtures.results.run import RunUnreadable, read_run
from fixtures.stack.environment import STAMP, _stamp, choose
from fixtures.stack.requirements import Environment
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
    toy: bool = True
    """Drawn in two steps under limits of its own, as the tests do; else as the tiny checkpoints are."""
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        """Where HF_HOME is."""
        return self.folder / "hub"

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
            "toy": self.toy,
            "drawn": {"steps": 2, "prompts": 2, "side": 64} if self.toy else {"steps": 12, "prompts": 24, "side": None},
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "host.json"
        path.write_text(json.dumps(description, indent=1), encoding="utf-8")
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "CUDA_", "GATE_", "MSLK_", "PYTEST_"))
        }
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join([str(HERE / "site"), str(ROOT)]),
            "SIMULATED_HOST": str(path),
            "HF_HOME": str(self.cache),
            "HF_HUB_OFFLINE": "1",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "PIP_NO_INDEX": "1",
            "UV_OFFLINE": "1",
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
        return self.outcome(results, self.python(*command, variables=variables))

    def session(self, *given: str, name: str = "b200") -> Outcome:
        """A session as nox starts it, its environment there already: that of this interpreter."""
        index = self.folder / "index"
        index.mkdir(exist_ok=True)
        home = self.folder / "environments"
        arguments = (*given, *(() if "--index" in given else ("--index", index.as_uri())))
        environment, _, _ = choose("nightly", arguments, ROOT)
        _provide(home / environment.name, environment)
        results = self.folder / f"results-{len(list(self.folder.glob('results-*')))}"
        command = ["-m", "fixtures.run.launch", name, "--home", str(home), "--from", str(ROOT), "--"]
        chosen = [*arguments, "--results", str(results)]
        for option, value in {"--metric": METRIC, "--baselines": str(self.folder / "baselines")}.items():
            chosen += [] if option in given else [option, value]
        return self.outcome(results, self.python(*command, *chosen))

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


def _provide(folder: Path, environment: Environment) -> None:
    """The environment as a finished installation would leave it, of this interpreter's packages."""
    if folder.exists():
        return
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", folder)
    (folder / "lib").symlink_to(Path(sys.prefix) / "lib")
    (folder / STAMP).write_text(json.dumps(_stamp(environment)), encoding="utf-8")


def red_checks(outcome: Outcome) -> Sequence[str]:
    """Every red gate, in a line."""
    return [f"{one.case} {one.gate}: {one.message}" for one in outcome.records if one.verdict != "pass"]
