"""What a probe runs in: an environment that differs in what moved alone, for a time that ends."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from fixtures.bisect.environment import ProbeEnvironment, moved_beside
from fixtures.bisect.log import LOG
from fixtures.bisect.probe import ProbeTools, run_suite
from fixtures.stack.install import InstallFailed, run_step
from fixtures.stack.requirements import InstallStep, Override
from tests.suite.bisect_stand_in import asked, run, wheels
from tests.suite.tiny_wheels import make_wheel


def test_a_package_under_another_name_is_that_package_and_nothing_beside_it() -> None:
    """mslk's nightlies on PyPI are another distribution than its releases."""
    before = {"mslk-cuda": "1.1.0", "numpy": "2.4.0", "torch": "2.14.1"}
    now = {"mslk-cuda-nightly": "2026.3.20", "numpy": "2.4.1", "torch": "2.14.1"}
    assert moved_beside(before, now, ["mslk"]) == {"numpy": "2.4.0 -> 2.4.1"}
    assert set(moved_beside(before, now, ["torchao"])) == {"mslk-cuda", "mslk-cuda-nightly", "numpy"}


def test_environment_differs_only_in_what_moved(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = wheels(tmp_path / "wheels", {"0.1": "good", "0.2": "bad"})
    make_wheel(folder, "mslk", "1.0")
    make_wheel(folder, "mslk", "1.1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    steps: list[tuple[str, ...]] = []

    def counted(step: InstallStep, *, python: Path, log: Path, extra: Sequence[str] = ()) -> None:
        steps.append(step.replaced)
        run_step(step, python=python, log=log)

    table = ProbeEnvironment(base=base, folder=tmp_path / "environment", install=counted)

    def wanted(**versions: str) -> dict[str, Override]:
        paths = {name: folder / f"{name}-{version}-py3-none-any.whl" for name, version in versions.items()}
        return {
            name: Override(package=name, given=versions[name], requirement=f"{name} @ {path.as_uri()}")
            for name, path in paths.items()
        }

    first = table.install(wanted(torchao="0.1", mslk="1.0"))
    assert (first.versions["torchao"], first.versions["mslk"], first.also_moved) == ("0.1", "1.0", {})
    assert table.install(wanted(torchao="0.2", mslk="1.0")).versions["torchao"] == "0.2"
    table.install(wanted(torchao="0.2", mslk="1.0"))
    assert steps == [("torchao", "mslk"), ("torchao",)]
    (folder / "mslk-1.1-py3-none-any.whl").write_bytes(b"not a wheel")
    with pytest.raises(InstallFailed):
        table.install(wanted(torchao="0.2", mslk="1.1"))
    assert table.install(wanted(torchao="0.1", mslk="1.0")).versions["torchao"] == "0.1"


def test_time_limit_ends_the_run_and_what_it_started(tmp_path: Path) -> None:
    (tmp_path / "pytest.py").write_text(
        "import subprocess, sys, time, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "pathlib.Path('child').write_text(str(child.pid))\ntime.sleep(60)\n"
    )
    done = run_suite(Path(sys.executable), [], suite=tmp_path, out=tmp_path / "out", limit_s=2)
    assert done.hung
    assert not done.records
    stat = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    for _ in range(100):  # a killed process dies when the kernel comes to it
        try:
            state = stat.read_text().rpartition(")")[2].split()[0]
        except OSError:
            state = "gone"
        if state in ("gone", "Z"):
            break
        time.sleep(0.1)
    assert state in ("gone", "Z")


def test_probe_never_sees_the_packages_of_the_tool(tmp_path: Path, stand_in: ProbeTools) -> None:
    """The stand-in imports torchao from the probe's environment; here it would not be a module with a kind."""
    index = wheels(tmp_path / "index", {"0.1": "good", "0.2": "bad"})
    code, answer = run(tmp_path, index, stand_in, "--good", "torchao=0.1")
    assert (code, asked(stand_in)[:2]) == (0, ["0.1", "0.2"])
    assert {one.verdict for one in answer.evidence} == {"pass", "fail"}
    assert json.loads((tmp_path / "out" / LOG).read_text().splitlines()[1])["seen"]["wheels"]["torchao"]
