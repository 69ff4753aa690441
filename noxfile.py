"""Are torchao-quantized diffusers pipelines still fast and faithful enough on tonight's stack?

Begin with `nox -s gate`; `nox --usage SESSION` explains one session. What follows `--` goes to pytest, except overrides
of the pinned stack such as `--torchao 0.17.0` (a version, a wheel or a checkout's folder; any of torch, torchvision,
torchao, mslk, diffusers, transformers and accelerate).
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

if sys.version_info < (3, 11):  # noqa: UP036  nox itself runs on older ones
    sys.exit(
        "This suite needs Python 3.11 or newer and nox runs on {}.{}: install nox with a newer one, such as "
        "`python3.12 -m pip install nox && python3.12 -m nox -s gate`.".format(*sys.version_info)
    )

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = []
ROOT = Path(__file__).parent
EXIT_USAGE = 4
KEEP_BASELINES = ("manifest", "memory", "reference", "velocity", "quality", "digest", "speed")
"""Gates that compare with a baseline."""


class Suite(NamedTuple):
    """An environment that is ready, and what the command line asks of it."""

    python: str
    overrides: list[dict[str, str | None]]
    """Package, as given, and the version that is pinned."""
    arguments: list[str]
    lock: str = ""
    """The lock file of an environment that moves, or nothing."""


@nox.session(venv_backend="none")
def gate(session: nox.Session) -> None:
    """Judge the stack with every gate, on whatever machine this is."""
    run_gate(session, kept(session, prepare(session, "released")))


@nox.session(venv_backend="none")
def b200(session: nox.Session) -> None:
    """Judge tonight's nightly torch, torchao and mslk on a B200, natively, with published weights and without skips.

    `--cuda 13.0` or `--index URL` names the nightly index, `--date 2026-11-01` takes what it held on that day (as does
    `--torchao 2026-11-01` for one package), `--diffusers main` takes git, `--gpus 4` spreads the models over GPUs.
    `--rehearse` runs the same lane on any machine, with stand-ins for weights and arithmetic.
    """
    rehearsing = "--rehearse" in session.posargs
    preflight(session, sys.executable)
    suite = prepare(session, "rehearsal" if rehearsing else "nightly")
    preflight(session, suite.python, "--installed")
    if suite.lock:
        call(session, suite, "-m", "fixtures.stack.cache_installed", *session.posargs)
    if rehearsing:
        rehearse(session, suite)
    else:
        run_gate(session, suite, "--machine", "b200", "--checkpoint", "hub", "--no-skips")


def preflight(session: nox.Session, python: str, *options: str) -> None:
    """End nox where the b200 lane cannot run; a rehearsal only hears what is missing."""
    command = [python, "-m", "fixtures.run.preflight", "b200", *options, *session.posargs]
    done = subprocess.run(command, env=variables(os.environ), cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)  # it has said why


def rehearse(session: nox.Session, suite: Suite) -> None:
    """The b200 lane on another machine: record baselines as its first night does, then judge against them.

    With `--baselines DIR` nothing is recorded first.
    """
    arguments = [argument for argument in suite.arguments if argument != "--rehearse"]
    suite = suite._replace(arguments=arguments)
    options = ["--rehearse", "b200"]
    if not any(argument.partition("=")[0] == "--baselines" for argument in arguments):
        baselines = ROOT / "results" / "rehearsal-baselines"
        shutil.rmtree(baselines, ignore_errors=True)
        options += ["--baselines", str(baselines)]
        kept = [] if any(argument.partition("=")[0] == "--gate" for argument in arguments) else KEEP_BASELINES
        recording = [
            *options,
            *(f"--gate={gate}" for gate in kept),
            "--rebaseline",
            "--reason",
            "rehearsed first night",
        ]
        given = selected(arguments)
        call(session, suite, "-m", "pytest", *targets(given, "tests/gate"), *recording, *given)
    run_gate(session, suite, *options)


@nox.session(venv_backend="none")
def hopper(session: nox.Session) -> None:
    """Judge the stack at full size on an H100 or H200, with random weights: fp8 native, mxfp8 and nvfp4 emulated."""
    run_gate(session, kept(session, prepare(session, "released")), "--machine", "hopper", "--checkpoint", "random")


@nox.session(venv_backend="none")
def cpu(session: nox.Session) -> None:
    """Judge the stack on the CPU, even where there is a GPU."""
    run_gate(session, kept(session, prepare(session, "released")), "--machine", "cpu")


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Test the suite itself: its own logic and a small gate, on the CPU."""
    suite = prepare(session, "released")
    given = suite.arguments
    run(session, suite, "-m", "pytest", *targets(given, "tests/suite"), *([] if given else side_by_side()), *given)


@nox.session(venv_backend="none")
def faults(session: nox.Session) -> None:
    """Break the libraries on purpose, once for every known regression, and show which gate catches it."""
    suite = prepare(session, "released")
    run(session, suite, "-m", "fixtures.faults", *suite.arguments)


@nox.session(venv_backend="none")
def bisect(session: nox.Session) -> None:
    """Find which package and which version turned a gate red: `nox -s bisect -- --case ID --gate NAME --good P=V`."""
    suite = prepare(session, "released")
    run(session, suite, "-m", "fixtures.bisect", *suite.arguments, folder=Path(session.invoked_from))


@nox.session(venv_backend="none")
def compare(session: nox.Session) -> None:
    """Put two stacks side by side, without any baseline: `nox -s compare -- --a torchao=0.17.0 --b torchao=0.18.0`."""
    suite = prepare(session, "released")
    run(session, suite, "-m", "fixtures.compare.__main__", *suite.arguments, folder=Path(session.invoked_from))


@nox.session(venv_backend="none")
def rebaseline(session: nox.Session) -> None:
    """Record what is normal on this machine: `nox -s rebaseline -- SELECTION --reason "why"`."""
    if not reason(session.posargs):
        stop(
            session, 'rebaseline needs a reason that others will read: add --reason "why the numbers moved"', EXIT_USAGE
        )
    run_gate(session, prepare(session, "released"), "--rebaseline")


@nox.session(venv_backend="none")
def report(session: nox.Session) -> None:
    """Write the report of one or more results folders again, as one: `nox -s report -- DIR...`."""
    suite = prepare(session, "released")
    run(session, suite, "-m", "fixtures.report.report", *suite.arguments)


@nox.session(venv_backend="none")
def trend(session: nox.Session) -> None:
    """Draw every number of the history over time and say where it changed: `nox -s trend -- [--history DIR]`."""
    suite = prepare(session, "released")
    run(session, suite, "-m", "fixtures.trend", *suite.arguments, folder=Path(session.invoked_from))


@nox.session(venv_backend="none")
def nightly(session: nox.Session) -> None:
    """Sum a night up, bisect what is red, open or close an issue a guilty package: `nox -s nightly -- RUN...`."""
    suite = prepare(session, "released")
    run(session, suite, "-m", "fixtures.nightly", *suite.arguments, folder=Path(session.invoked_from))


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Check style and types of everything."""
    suite = prepare(session, "released")
    commands = (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"])
    codes = [call(session, suite, "-m", *command) for command in commands]
    if any(codes):
        stop(session, "lint found something; `ruff check --fix` and `ruff format` mend what can be mended", max(codes))


def prepare(session: nox.Session, lane: str) -> Suite:
    """Make or find the environment that this session and its overrides need; they share it where they can."""
    home = session.cache_dir.parent
    command = [sys.executable, "-m", "fixtures.stack.environment", lane, "--home", str(home)]
    command += ["--relative-to", session.invoked_from, "--", *session.posargs]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=variables(os.environ), cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)  # it has said why
    return Suite(**json.loads(done.stdout))


def kept(session: nox.Session, suite: Suite) -> Suite:
    """Put the stack's wheels into the cache that bisects read; whatever comes of it, the run goes on."""
    call(session, suite, "-m", "fixtures.stack.cache_installed")
    return suite


def side_by_side() -> list[str]:
    """Files of tests spread over the cores; four at most, since each worker holds torch and its own gates."""
    workers = min(4, os.cpu_count() or 1)
    return ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"] if workers > 1 else []


def run_gate(session: nox.Session, suite: Suite, *options: str) -> None:
    """pytest over tests/gate, or over the tests that the user named."""
    arguments = selected(suite.arguments)
    run(session, suite, "-m", "pytest", *targets(arguments, "tests/gate"), *options, *arguments)


def run(session: nox.Session, suite: Suite, *arguments: str, folder: Path = ROOT) -> None:
    """Run the environment's Python; a red exit code becomes nox's own, which would otherwise be 1 for all of them."""
    code = call(session, suite, *arguments, folder=folder)
    if code:
        stop(session, f"{session.name} ended with exit code {code}", code)


def call(session: nox.Session, suite: Suite, *arguments: str, folder: Path = ROOT) -> int:
    """Run the environment's Python in the repository, or in `folder`, and return its exit code.

    Ctrl-C and SIGTERM reach it as an interrupt, and it gets the time to write what it has; also where a script's `&`
    made nox itself deaf to interrupts.
    """
    if session.run(sys.executable, "-c", "", log=False) is None:
        return 0  # nox was called with --install-only, and says so itself
    session.log(" ".join(["python", *arguments]))
    environment = variables(os.environ) | {"GATE_OVERRIDES": json.dumps(suite.overrides), "GATE_LOCK": suite.lock}
    python = str((ROOT / suite.python).absolute())  # told relative to the repository; a link, so not resolved
    deaf = os.name == "posix" and signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL) if deaf else None
    command = [python, *arguments]
    with subprocess.Popen(command, env=environment, cwd=folder, preexec_fn=listen) as child:  # noqa: PLW1509  no threads

        def interrupt(_signal: int, _frame: FrameType | None) -> None:
            child.send_signal(signal.SIGINT)

        previous = signal.signal(signal.SIGTERM, interrupt)
        try:
            return exit_status(child.wait())
        except KeyboardInterrupt:
            return exit_status(child.wait())
        finally:
            signal.signal(signal.SIGTERM, previous)


def stop(session: nox.Session, sentence: str, code: int) -> NoReturn:
    """End nox with `code`, after one sentence."""
    session.warn(sentence)
    raise SystemExit(code)


def exit_status(code: int) -> int:
    """What a shell would say: a process that a signal ended has 128 + signal."""
    return 128 - code if code < 0 else code


def variables(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of every command: the user's own, and what keeps output and imports straight."""
    defaults = {"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}
    path = os.pathsep.join(part for part in (str(ROOT), inherited.get("PYTHONPATH", "")) if part)
    return {**defaults, **inherited, "PYTHONPATH": path}


def targets(arguments: Sequence[str], default: str) -> list[str]:
    """`default`, unless the user named files or folders of tests."""
    paths = [(ROOT / argument.partition("::")[0]).resolve() for argument in arguments if not argument.startswith("-")]
    named = any(path.is_relative_to(ROOT / "tests") and path.exists() for path in paths)
    return [] if named else [default]


def selected(arguments: Sequence[str]) -> list[str]:
    """Bare words before the first option select cases or models: `nox -s gate -- flux1-dev`. Paths of tests stay."""
    words = list(itertools.takewhile(lambda argument: not argument.startswith("-"), arguments))
    bare = [word for word in words if targets([word], "")]
    paths = [word for word in words if word not in bare]
    return [*(f"--case={word}" for word in bare), *paths, *arguments[len(words) :]]


def reason(arguments: Sequence[str]) -> str:
    """The text after `--reason`, or nothing."""
    given = [
        argument.partition("=")[2] if "=" in argument else following
        for argument, following in itertools.pairwise([*arguments, ""])
        if argument.partition("=")[0] == "--reason"
    ]
    return given[-1].strip() if given else ""
