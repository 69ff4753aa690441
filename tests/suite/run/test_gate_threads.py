"""More threads change no number."""

from __future__ import annotations

from tests.suite.gate_runs import BF16, NVFP4, Gate, cases, gates


def test_two_threads_compute_what_one_computes(gate: Gate) -> None:
    outcome = gate(*cases(BF16, NVFP4), *gates("reference", "velocity", "digest"), "--threads", "2")
    assert {record.verdict for record in outcome.records} == {"pass"}, outcome.text
    assert outcome.record("digest", NVFP4).message == "moved 0 (numerics did not move)"
