"""The noxfile: what it refuses, what it passes on, and that exit codes and signals go through. Installs nothing."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nox
import pytest

from fixtures import ROOT
from fixtures.catalog import LANES
from fixtures.run import launch
from fixtures.run.launch import PROGRAMS, Launch, Suite


def load_noxfile() -> ModuleType:
    spec = importlib.util.spec_from_file_location("suite_noxfile", ROOT / "noxfile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


noxfile = load_noxfile()


def run_nox(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nox", "--envdir", str(home), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_sessions_explain_themselves_in_one_sentence() -> None:
    lanes = {lane.session for lane in LANES.values()}
    assert set(noxfile.SESSIONS) == {*lanes, *PROGRAMS, "lint"}
    for name, sentence in noxfile.SESSIONS.items():
        assert re.fullmatch(r"[A-Z].*[.`]", sentence.splitlines()[0]), name


def test_no_session_lists_the_sessions(tmp_path: Path) -> None:
    done = run_nox(home=tmp_path)
    assert done.returncode == 0
    assert "gate -> Judge the stack" in done.stdout


def launched(*arguments: str, session: str = "gate", where: Path = ROOT) -> Launch:
    return Launch(session=session, home=where, typed_in=where, given=arguments)


@pytest.mark.parametrize("code", [0, 1, 2, 4, 5, 6, 7, 8])
def test_exit_code_of_pytest_is_exit_code_of_nox(code: int) -> None:
    assert noxfile.patient([sys.executable, "-c", f"raise SystemExit({code})"]) == code
    assert launched()._call(sys.executable, ["-c", f"raise SystemExit({code})"]) == code


def test_install_only_runs_nothing(tmp_path: Path) -> None:
    done = run_nox("-s", "gate", "--install-only", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not any(tmp_path.glob("*/bin"))


def test_command_gets_overrides_and_finds_our_fixtures_wherever_it_runs(tmp_path: Path) -> None:
    answer, override = tmp_path / "answer", '[{"package": "torchao", "given": "0.17.0", "pinned": "0.18.0"}]'
    program = (
        "import os, fixtures\n"
        f"open({str(answer)!r}, 'w').write(os.environ['GATE_OVERRIDES'] + fixtures.__file__ + os.getcwd())"
    )
    made = Suite(python=sys.executable, overrides=override, arguments=())
    assert launched()._call(sys.executable, ["-c", program], suite=made, folder=tmp_path) == 0
    assert answer.read_text() == f"{override}{ROOT / 'fixtures' / '__init__.py'}{tmp_path}"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("inherited", ["default_int_handler", "SIG_IGN"])  # as from a script's `&`
def test_kill_reaches_the_run_as_an_interrupt_that_lets_it_finish(tmp_path: Path, inherited: str) -> None:
    """Through both processes that stand between the shell and the run."""
    answer = tmp_path / "answer"
    child = f"""
import os, signal, sys, time
try:
    os.kill(int(os.environ["TOLD"]), signal.SIGTERM)
    time.sleep(60)
except KeyboardInterrupt:
    open({str(answer)!r}, "w").write("wrote what it had")
    sys.exit(2)
"""
    between = (
        "import subprocess, sys\n"
        "from fixtures.run.launch import wait\n"
        f"raise SystemExit(wait(subprocess.Popen([sys.executable, '-c', {child!r}])))"
    )
    parent = (
        "import os, signal, sys\n"
        "from tests.suite.test_noxfile import noxfile\n"
        f"signal.signal(signal.SIGINT, signal.{inherited})\n"
        "os.environ['TOLD'] = str(os.getpid())\n"
        f"raise SystemExit(noxfile.patient([sys.executable, '-c', {between!r}]))"
    )
    command = [sys.executable, "-c", parent]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False, timeout=120)
    assert answer.read_text() == "wrote what it had"
    assert done.returncode == 2


def test_lanes_have_the_session_and_the_arguments_that_they_name() -> None:
    for lane in LANES.values():
        assert "--lane" in lane.arguments or lane.session in PROGRAMS, lane.name
        asked = launched(*lane.asked_by, session=lane.session)._lane()
        assert asked == (None if lane.session in PROGRAMS else lane), lane.name


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "tests/gate"),
        (["--model", "flux1-dev", "-x"], "tests/gate"),
        (["--baselines", "baselines"], "tests/gate"),
        (["tests/gate/test_nowhere.py"], "tests/gate"),
        (["tests/suite/test_noxfile.py"], None),
        (["tests/suite/test_noxfile.py::test_no_session_lists_the_sessions", "-x"], None),
    ],
)
def test_named_tests_replace_the_default_ones(arguments: list[str], expected: str | None) -> None:
    assert launch.targets(arguments, "tests/gate") == ([expected] if expected else [])


H200_BY_NVML = """
from types import SimpleNamespace
class NVMLError(Exception): pass
nvmlInit = nvmlShutdown = lambda: None
nvmlDeviceGetCount = lambda: 1
nvmlDeviceGetHandleByIndex = int
nvmlDeviceGetName = lambda handle: "NVIDIA H200"
nvmlDeviceGetUUID = lambda handle: "GPU-1"
nvmlDeviceGetCudaComputeCapability = lambda handle: (9, 0)
nvmlDeviceGetMemoryInfo = lambda handle: SimpleNamespace(free=140 * 10**9)
nvmlDeviceGetComputeRunningProcesses = lambda handle: []
nvmlSystemGetDriverVersion = lambda: "570.12"
"""


def test_b200_without_sm_100_is_red_and_installs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pynvml.py").write_text(H200_BY_NVML)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = run_nox("-s", "b200", home=tmp_path / "home")
    assert done.returncode == 7
    assert "compute capability 10.0 (B200) is needed; found NVIDIA H200 (9.0)" in done.stderr
    assert "nox -s b200 -- --rehearse" in done.stderr
    assert done.stderr.count("cannot run here") == 1
    assert not any((tmp_path / "home").glob("*/bin"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ""),
        (["--reason"], ""),
        (["--reason", "  "], ""),
        (["--reason="], ""),
        (["--case", "x", "--reason", "new torch"], "new torch"),
        (["--reason=new torch"], "new torch"),
    ],
)
def test_reason_is_read_as_pytest_reads_it(arguments: list[str], expected: str) -> None:
    assert launch.reason(arguments) == expected


def test_rebaseline_without_a_reason_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    done = run_nox("-s", "rebaseline", "--", "--model", "flux1-dev", home=tmp_path)
    assert done.returncode == 4
    assert 'add --reason "' in done.stderr
    assert not any(tmp_path.glob("*/bin"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--torchao"], "--torchao needs a value"),
        (["--torchao", "nowhere.whl"], "--torchao nowhere.whl: there is no such wheel"),
        (["--torch", "newest"], "--torch newest: neither a version nor"),
    ],
)
def test_bad_override_ends_in_one_sentence(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = run_nox("-s", "gate", "--", *arguments, home=tmp_path)
    assert done.returncode == 4
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.glob("*/bin"))


def test_user_variables_win_over_defaults() -> None:
    told = launch.variables({"TORCH_HOME": "/models", "PYTHONUNBUFFERED": "0", "PYTHONPATH": "/mine"})
    assert told["TORCH_HOME"] == "/models"
    assert told["PYTHONUNBUFFERED"] == "0"
    assert told["PYTHONPATH"].split(os.pathsep) == [str(ROOT), "/mine"]


def test_noxfile_imports_nothing_of_ours() -> None:
    assert not re.search(r"^\s*(from|import) fixtures", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    assert nox.options.sessions == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["flux1-dev", "--reason", "why"], ["--case=flux1-dev", "--reason", "why"]),
        (["flux1-dev/nvfp4-tiny-bs1-eager"], ["--case=flux1-dev/nvfp4-tiny-bs1-eager"]),
        (["--gate", "velocity"], ["--gate", "velocity"]),
        (["tests/gate/test_speed.py", "--batch", "1"], ["tests/gate/test_speed.py", "--batch", "1"]),
        ([], []),
    ],
)
def test_bare_words_select_cases(arguments: list[str], expected: list[str]) -> None:
    assert launch.selected(arguments) == expected


def test_an_option_may_choose_another_program_of_its_session() -> None:
    faults = PROGRAMS["faults"]
    assert faults.chosen(["--clean=30"]).module == "fixtures.research.limits"
    assert faults.chosen(["--fault", "bias_is_dropped"]) == faults


@pytest.mark.parametrize(
    ("session", "given", "asked"),
    [
        ("b200", ("--plan", "--gpus", "3"), ["--lane", "b200", "--gpus", "3"]),
        ("b200", ("--rehearse", "--plan"), ["--lane", "b200-rehearsal"]),
        ("gate", ("flux1-dev", "--plan"), ["--case=flux1-dev"]),
    ],
)
def test_a_plan_is_told_by_noxs_own_interpreter_and_nothing_is_prepared(
    session: str, given: tuple[str, ...], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[str, list[str]]] = []

    def call(_: Launch, python: str, arguments: list[str]) -> int:
        called.append((python, arguments))
        return 3

    monkeypatch.setattr(Launch, "_prepared", lambda self, stack: pytest.fail("installed something"))
    monkeypatch.setattr(Launch, "_preflight", lambda self, *given: pytest.fail("asked the machine"))
    monkeypatch.setattr(Launch, "_call", call)
    assert launched(*given, session=session).run() == 3
    assert called == [(sys.executable, ["-m", "fixtures.run.forecast", *asked])]
