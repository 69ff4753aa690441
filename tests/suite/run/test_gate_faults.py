"""Every gate goes red when what it guards breaks: exit code, reason, the command to type; the others stay green.

Whole runs of the gate, pytest inside pytest, one fault of the catalogue (fixtures/faults) for each kind of message.
tests/suite/faults runs the whole catalogue through the gates without pytest.
"""

from __future__ import annotations

import re

import pytest

from fixtures.faults import catalog
from fixtures.faults.patching import Patch
from fixtures.faults.schema import Fault
from fixtures.faults.sized import activation_scale
from fixtures.gates.pictures.further import FURTHER, FURTHER_CHANGE
from fixtures.gates.verdict import ExitCode
from tests.suite.gate_runs import MXFP8, NVFP4, NVFP4_BS2, Gate, cases, gates

SHOWN = (
    "nothing_is_quantized",
    "scale_result_is_ignored",
    "products_become_nan",
    "batches_are_refused",
    "one_more_step",
    "attention_scale_changes",
    "graph_breaks",
    "file_loses_a_scale",
)
"""Between them they turn every gate red that has no test of its own here."""


@pytest.mark.parametrize("name", SHOWN)
def test_a_fault_is_seen_by_its_gates_and_only_by_them(gate: Gate, name: str) -> None:
    fault: Fault = catalog()[name]
    # One step of two draws nothing that a ceiling for twelve steps could judge.
    expected = dict.fromkeys(fault.fails, "fail") | dict.fromkeys(fault.errors, "error")
    with fault.injected():
        outcome = gate(*cases(fault.case), *gates(*fault.gates))
    assert outcome.verdicts() == expected | dict.fromkeys(fault.passes, "pass"), outcome.text
    for red in expected:
        record = outcome.record(red)
        assert re.search(r"\d|:", record.message), record.message
        assert outcome.says(f"nox -s gate -- --case {fault.case} --gate {red}")
    assert outcome.code == (ExitCode.FAIL if fault.fails else ExitCode.ERROR)
    assert "Traceback" not in outcome.text


def test_a_red_number_says_where_it_starts(gate: Gate) -> None:
    with catalog()["mx_weight_scales_double"].injected():
        outcome = gate(*cases("flux1-dev/mxfp8-tiny-bs1-eager"), *gates("arithmetic", "velocity"))
    for name in ("arithmetic", "velocity"):
        assert outcome.record(name).note.startswith("it starts at the weights, in "), outcome.record(name).note
        assert re.search(r"\(weight \S+ dB of \S+, activation \S+ dB of", outcome.record(name).note)
    assert outcome.says("it starts at the weights, in")
    assert "It starts at the weights, in" in outcome.page


def test_a_format_that_moves_away_from_the_next_finer_one_is_red_and_that_one_is_not(gate: Gate, patch: Patch) -> None:
    activation_scale(patch, 0.3)
    outcome = gate(*cases(MXFP8, NVFP4), *gates("quality"))
    record = outcome.record("quality", NVFP4)
    assert (outcome.record("quality", MXFP8).verdict, record.verdict) == ("pass", "fail")
    assert outcome.code == ExitCode.FAIL
    assert re.search(r"against baseline \S+x above ceiling 1\.2x \(than mxfp8 of this run; baseline", record.message)
    assert re.search(r"nvfp4 \S+ \[\S+, \S+\] LPIPS further than mxfp8 of this run", record.note)
    (told,) = record.quantities
    assert (told.name, told.unit) == (FURTHER, "LPIPS")
    assert told.interval is not None
    assert FURTHER in outcome.page


def test_a_single_case_draws_nothing_to_be_compared_with_the_next_finer_format(gate: Gate) -> None:
    outcome = gate(*cases(NVFP4), *gates("quality"))
    (check,) = (check for check in outcome.record("quality").checks if check.name == FURTHER_CHANGE)
    assert (outcome.code, check.verdict, check.value) == (ExitCode.GREEN, "pass", 1.0)
    assert check.note.startswith("than mxfp8 of its baseline; ")


def test_numerics_that_move_by_a_bit_are_told_and_not_red(gate: Gate) -> None:
    with catalog()["one_bit_moves"].injected():
        outcome = gate(*cases(NVFP4), *gates("arithmetic", "kernels", "velocity", "quality", "digest"))
    assert set(outcome.verdicts().values()) == {"pass"}
    assert re.search(r"moved 1 \(numerics moved: [0-9a-f]{12} became [0-9a-f]{12}\)", outcome.record("digest").message)
    assert outcome.code == ExitCode.GREEN


def test_batch_one_stays_green_when_only_batches_fail(gate: Gate) -> None:
    with catalog()["batches_are_refused"].injected():
        outcome = gate(*cases(NVFP4, NVFP4_BS2), *gates("velocity"))
    assert outcome.verdicts(NVFP4) == {"velocity": "pass"}
    assert outcome.verdicts(NVFP4_BS2) == {"velocity": "error"}
    assert outcome.code == ExitCode.ERROR
