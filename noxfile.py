"""Are torchao-quantized diffusers pipelines still fast and faithful enough on tonight's stack?

Begin with `nox -s gate`; `nox --usage SESSION` explains one session. What follows `--` goes to pytest, except overrides
of the pinned stack such as `--torchao 0.17.0` (a version, a wheel or a checkout's folder).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

if sys.version_info < (3, 11):  # noqa: UP036  nox itself runs on older ones
    sys.exit(
        "This suite needs Python 3.11 or newer and nox runs on {}.{}: install nox with a newer one, such as "
        "`python3.12 -m pip install nox uv && python3.12 -m nox -s gate`.".format(*sys.version_info)
    )

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = []
ROOT = Path(__file__).parent

SESSIONS = {
    "gate": "Judge the stack with every gate, on whatever machine this is.",
    "cpu": "Judge the stack on the CPU, even where there is a GPU.",
    "hopper": "Judge the stack at full size on an H100 or H200, random weights: fp8 native, mxfp8 and nvfp4 emulated.",
    "code": "Make the B200's code of every model, format and batch size, without a GPU, and judge it.",
    "b200": """Judge tonight's nightly torch, torchao and mslk on a B200, natively, with published weights and no skips.

    `--cuda 13.0` or `--index URL` names the nightly index, `--date 2026-11-01` takes what it held on that day (as does
    `--torchao 2026-11-01` for one package), `--diffusers main` takes git, `--gpus 4` spreads the run over GPUs,
    `--slurm` over a cluster's.
    `--plan` only says how long that should take and what it needs, before anything is installed.
    `--rehearse` runs the same lane on any machine, with stand-ins for weights and arithmetic.
    """,
    "gb300": "Judge tonight's nightlies on a GB300: the b200 lane by baselines of its own, no published floors.",
    "tests": "Test the suite itself: its own logic and a small gate, on the CPU.",
    "drill": "Run the b200 lane through nights that go wrong, on a B200 in software: the tests' own, and a bisect.",
    "faults": "Break the libraries on purpose, once for every known regression, and show which gate catches it.",
    "bisect": "Find which package and version turned a gate red: `nox -s bisect -- --case ID --gate NAME --good P=V`.",
    "compare": "Put two stacks side by side, no baseline: `nox -s compare -- --a torchao=0.17.0 --b torchao=0.18.0`.",
    "upgrade": 'What newer releases of the pins move, each by itself; `--accept --reason "why"` pins and records them.',
    "rebaseline": 'Record what is normal on this machine: `nox -s rebaseline -- SELECTION --reason "why"`.',
    "report": "Write the report of one or more results folders again, as one: `nox -s report -- DIR...`.",
    "trend": "Draw every number of the history over time, say where it changed: `nox -s trend -- [--history DIR]`.",
    "nightly": "Sum a night up, bisect what is red, keep an issue a guilty package: `nox -s nightly -- RUN...`.",
    "lint": "Check style, types and the order of imports.",
}
"""What each session is for; `fixtures/run/launch.py` does it."""


def launch(session: nox.Session) -> None:
    """Run the session in the repository; its exit code becomes nox's own, which would otherwise be 1."""
    if session.run(sys.executable, "-c", "", log=False) is None:
        return  # nox was called with --install-only, and says so itself
    command = [sys.executable, "-m", "fixtures.run.launch", session.name, "--home", str(session.cache_dir.parent)]
    command += ["--from", session.invoked_from, "--", *session.posargs]
    code = patient(command)
    if code:
        session.warn(f"{session.name} ended with exit code {code}")
        raise SystemExit(code)


def patient(command: list[str]) -> int:
    """The command's exit code. Ctrl-C and SIGTERM reach it as an interrupt, and it gets the time to write what it has;
    also where a script's `&` made nox itself deaf to interrupts."""
    deaf = os.name == "posix" and signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if deaf:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # children inherit what is ignored
    with subprocess.Popen(command, cwd=ROOT) as child:

        def interrupt(_signal: int, _frame: FrameType | None) -> None:
            child.send_signal(signal.SIGTERM)  # it passes an interrupt on; a terminal interrupts everybody itself

        signal.signal(signal.SIGTERM, interrupt)
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue  # the terminal interrupts the child too


def offer(name: str, sentence: str) -> None:
    """Make a session of an entry of the table."""

    def start(session: nox.Session) -> None:
        launch(session)

    start.__doc__ = sentence
    nox.session(name=name, venv_backend="none")(start)


for _name, _sentence in SESSIONS.items():
    offer(_name, _sentence)
