"""Runs the gate inside a test: pytest inside pytest, in one process, so that torch is imported once."""

from __future__ import annotations

import contextlib
import io
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fixtures.gates.verdict import Verdict
from fixtures.results.records import GateRecord
from fixtures.results.run import RunUnreadable, read_run

ROOT = Path(__file__).resolve().parents[2]
METRIC = "st-lpips-alex"
"""The metric whose trunk comes with its wheel: these tests need no network, wherever they run."""

BF16 = "flux1-dev/bf16-tiny-bs1-eager"
FP8 = "flux1-dev/fp8-tiny-bs1-eager"
MXFP8 = "flux1-dev/mxfp8-tiny-bs1-eager"
NVFP4 = "flux1-dev/nvfp4-tiny-bs1-eager"
NVFP4_BS2 = "flux1-dev/nvfp4-tiny-bs2-eager"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run of the gate came to: the exit code, all that it printed, and the records it left."""

    code: int
    text: str
    folder: Path
    records: tuple[GateRecord, ...]

    def record(self, gate: str, case: str | None = None) -> GateRecord:
        """The one record of a gate (of a case, where several ran)."""
        (found,) = (record for record in self.records if record.gate == gate and case in {None, record.case})
        return found

    def verdicts(self, case: str | None = None) -> dict[str, Verdict]:
        """Gate -> verdict, of one case or of a run with only one."""
        return {record.gate: record.verdict for record in self.records if case in {None, record.case}}

    def says(self, sentence: str) -> bool:
        """Whether the terminal showed it; lines may have been wrapped anywhere between words."""
        return " ".join(sentence.split()) in " ".join(self.text.split())

    @property
    def page(self) -> str:
        """The report."""
        return (self.folder / "report.html").read_text(encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Calls pytest on tests/gate with the small catalog; every call is a whole run with a results folder of its own."""

    scratch: Path
    baselines: Path
    checkpoints: str | None
    """What `--checkpoint-folder` said, or None for the shipped ones."""
    plugin: str | None = "tests.suite.small_gate"
    """The pytest plugin that makes the catalog small; None for the catalog as it is."""

    def __call__(
        self, *arguments: str, baselines: Path | None = None, checkpoints: Path | str | None = None
    ) -> Outcome:
        """Run with these options beside those that every run here has."""
        results = self.scratch / f"results-{len(list(self.scratch.glob('results-*')))}"
        folder, kept = checkpoints or self.checkpoints, baselines or self.baselines
        if "--rebaseline" not in arguments:
            kept.mkdir(parents=True, exist_ok=True)
        command = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), str(ROOT / "tests" / "gate")]
        # importlib: files of tests/gate and tests/suite may share a name. sys: files keep their descriptors.
        command += ["--import-mode", "importlib", "--capture", "sys"]
        command += ["-p", self.plugin] if self.plugin else []
        # The last one collects garbage five times over at the end, a second a run.
        command += [
            part
            for name in ("cacheprovider", "hypothesispytest", "unraisableexception")
            for part in ("-p", f"no:{name}")
        ]
        command += ["--machine", "cpu", "--metric", METRIC, "--results", str(results)]
        command += [] if "--workers" in arguments else ["--workers", "1"]
        command += ["--baselines", str(kept)]
        command += ["--checkpoint-folder", str(folder)] if folder else []
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), _own_signals():
            code = int(pytest.main([*command, *arguments]))
        try:
            records = read_run(results / "latest").records
        except RunUnreadable:
            records = ()
        return Outcome(code=code, text=said.getvalue(), folder=(results / "latest").resolve(), records=records)


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """The gate takes SIGTERM over, and in this process it has to give it back."""
    before = {which: signal.getsignal(which) for which in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def gates(*names: str) -> list[str]:
    """The options that select these gates."""
    return [part for name in names for part in ("--gate", name)]


def cases(*ids: str) -> list[str]:
    """The options that select these cases."""
    return [part for case in ids for part in ("--case", case)]
