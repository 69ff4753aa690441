"""A healthy stack is green, whatever the gate and the format: otherwise red would mean nothing."""

from __future__ import annotations

from tests.suite.gate_runs import BF16, FP8, METRIC, MXFP8, NVFP4, NVFP4_BS2, Gate, Outcome, cases, gates

WITH_BASELINE = {"manifest", "memory", "velocity", "quality", "digest"}


def test_every_format_is_green_against_its_baselines(gate: Gate) -> None:
    names = (*WITH_BASELINE, "arithmetic", "reference", "calls", "kernels", "round_trip")
    outcome = gate(*cases(BF16, FP8, MXFP8, NVFP4, NVFP4_BS2), *gates(*names))
    assert outcome.code == 0, outcome.text
    assert {record.verdict for record in outcome.records} == {"pass"}
    assert set(outcome.verdicts(BF16)) == {"reference", "calls", "digest"}
    assert set(outcome.verdicts(NVFP4)) == {*names} - {"reference"}
    once = {"manifest", "round_trip", "reference"}
    assert set(outcome.verdicts(NVFP4_BS2)) == {*names} - once
    assert {record.gate for record in outcome.records if record.metric} == {"reference", "quality"}
    assert outcome.record("quality", NVFP4).metric == METRIC
    assert outcome.record("kernels", NVFP4).arithmetic == "emulated"
    assert outcome.says(f"GREEN {len(outcome.records)} gates: {len(outcome.records)} pass")
    for name in ("run.json", "report.json", "report.html", "junit.xml", "records.jsonl"):
        assert (outcome.folder / name).stat().st_size > 0


def test_a_second_run_of_the_same_stack_repeats_every_digest(gate: Gate, recording: tuple[Gate, Outcome]) -> None:
    outcome = gate(*cases(MXFP8), *gates("digest"))
    assert outcome.record("digest").message == "moved 0 (numerics did not move)"


def test_quantized_blocks_compile_whole_and_once(gate: Gate) -> None:
    outcome = gate(*cases(BF16, NVFP4), *gates("compile"))
    assert outcome.code == 0, outcome.text
    for case in (BF16, NVFP4):
        message = outcome.record("compile", case).message
        assert message == "graph breaks 0, expected 0 (aot_eager); recompiles after warm-up 0, expected 0"


def test_the_published_architecture_is_judged_without_its_weights(gate: Gate) -> None:
    outcome = gate(*cases("flux1-dev/nvfp4-meta-bs1-eager"), *gates("manifest", "memory", "roofline"))
    assert outcome.code == 0, outcome.text
    assert outcome.record("manifest").message.startswith("quantized Linears 494, expected 494")
    assert outcome.record("memory").message.startswith("saved 17.0")
    assert "speedup floor 1.395x within ceiling 2.058x" in outcome.record("roofline").message


def test_lines_appear_as_gates_finish(gate: Gate) -> None:
    outcome = gate(*cases(NVFP4), *gates("manifest", "memory"))
    assert f"[1/2] {NVFP4} manifest: pass quantized Linears 44" in outcome.text
    assert f"[2/2] {NVFP4} memory: pass saved" in outcome.text
