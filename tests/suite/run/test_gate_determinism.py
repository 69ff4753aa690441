"""The determinism gate: one new process for all cases, and what it sees that a repetition does not."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.faults.in_matmul import kernels_race
from fixtures.faults.in_operands import MX_TENSOR
from fixtures.faults.patching import Patch
from fixtures.gates.verdict import ExitCode
from tests.suite.gate_runs import BF16, MXFP8, NVFP4, Gate, cases, gates


def only_this_process_scales_mxfp8(patch: Patch) -> None:
    """What an environment variable or a warm cache does: always the same here, and something else elsewhere."""

    def dispatch(original: Any, *args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs) * 1.01

    patch.around(MX_TENSOR, "_addmm_mx_dispatch", dispatch)


def test_only_the_gate_of_the_format_that_varies_is_red(gate: Gate, patch: Patch) -> None:
    kernels_race(patch)
    only_this_process_scales_mxfp8(patch)
    outcome = gate(*cases(BF16, MXFP8, NVFP4), *gates("determinism"))
    assert outcome.verdicts(BF16) == {"determinism": "pass"}, outcome.text
    again, elsewhere = "second picture of this process", "picture of a new process"
    healthy = outcome.record("determinism", BF16)
    assert [check.name for check in healthy.checks] == [again, elsewhere]
    assert len(str(healthy.result["new_process"])) == 64

    noisy = outcome.record("determinism", NVFP4)
    assert noisy.verdict == "fail"
    assert noisy.message.startswith(f"{again} 0 equal, expected 1 equal (digest ")
    apart = outcome.record("determinism", MXFP8)
    assert apart.verdict == "fail"
    assert apart.message.startswith(f"{elsewhere} 0 equal, expected 1 equal (digest ")
    assert outcome.code == ExitCode.FAIL


def test_a_new_process_that_dies_is_an_error_with_its_last_words(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    outcome = gate(*cases(BF16), *gates("determinism"))
    assert outcome.code == ExitCode.ERROR
    assert outcome.record("determinism").message == ("determinism: the new process ended with code 1 and said: nothing")
