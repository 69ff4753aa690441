"""What can be added from one file that no table has heard of: a gate with a baseline, and a package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures import ROOT
from fixtures.catalog.packages import axes, overridable
from fixtures.gates.verdict import ExitCode
from fixtures.results.baseline import path_of
from fixtures.results.seal import sealed
from fixtures.run.next_command import moved_packages
from fixtures.stack.installed import installed
from fixtures.stack.requirements import split_arguments
from tests.suite.gate_runs import NVFP4, Gate, cases, gates

GATE_FILE = ROOT / "tests" / "suite" / "steps_gate.py"


def test_a_gate_in_one_file_is_planned_recorded_judged_and_shown(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE_GATES", str(GATE_FILE))
    baselines, chosen = tmp_path / "baselines", [*cases(NVFP4), *gates("matmuls")]
    missing = gate(*chosen, baselines=baselines)
    assert missing.code == ExitCode.FAIL, missing.text
    assert missing.record("matmuls").next[:5] == ["nox", "-s", "rebaseline", "--", NVFP4]

    recorded = gate(*chosen, "--rebaseline", "--reason", "a gate that is new", baselines=baselines)
    assert recorded.says(f"{NVFP4}: recorded matmuls")
    judged = gate(*chosen, baselines=baselines)
    assert judged.code == ExitCode.GREEN, judged.text
    assert judged.record("matmuls").result == {"matmuls": 44 * 4}
    assert "as in the baseline" not in judged.text
    assert "matmuls" in judged.page

    path = path_of(baselines, "cpu", NVFP4)
    fields = json.loads(path.read_text())
    fields["matmuls"]["matmuls"] += 1
    path.write_text(sealed(fields))
    changed = gate(*chosen, baselines=baselines)
    assert changed.code == ExitCode.FAIL
    assert changed.record("matmuls").message == "matmuls 176, expected 177"


def test_a_package_in_one_file_is_an_override_a_record_and_an_axis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sympy.py"
    file.write_text(
        "from fixtures.catalog.packages import Package\n"
        'PACKAGE = Package(name="sympy", repository="https://github.com/sympy/sympy", modules=("sympy",))\n'
    )
    monkeypatch.setenv("GATE_PACKAGES", str(file))
    assert "sympy" in overridable()
    assert split_arguments(["--sympy", "3.8.0", "--gate", "digest"]) == ({"sympy": "3.8.0"}, ("--gate", "digest"))
    assert set(overridable()) <= {package.name for package in installed().packages} | {"mslk", "triton"}
    assert "sympy" in axes()
    assert moved_packages({"sympy": "3.9.0"}, {"sympy": "3.8.0"}) == [
        *("--good", "sympy=3.8.0"),
        *("--bad", "sympy=3.9.0"),
    ]
