"""Every gate goes red when what it guards breaks, with the reason a person reads; the others stay green.

Faults sit in torch, torchao and diffusers (tests/suite/gate_faults.py); tests/suite/test_gate_determinism.py and
tests/suite/test_gate_speed.py break the two gates that need more than one run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from fixtures.judge.verdict import ExitCode
from tests.suite import gate_faults as faults
from tests.suite.gate_faults import Inject
from tests.suite.gate_runs import BF16, MXFP8, NVFP4, NVFP4_BS2, Gate, cases, gates

ANYTHING = r"."


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A fault, the gates that must see it (gate -> pattern of the message) and those that must not."""

    inject: Inject
    fail: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, str] = field(default_factory=dict)
    green: tuple[str, ...] = ()
    case: str = NVFP4

    @property
    def code(self) -> int:
        """A failure outranks an error."""
        return ExitCode.FAIL if self.fail else ExitCode.ERROR


BROKEN = (
    # What was quantized.
    Broken(
        inject=faults.filter_drops_a_linear,
        fail={
            "manifest": r"quantized Linears 39, expected 44; not quantized: single_\S+\.0\.proj_mlp, .* and 2 more; "
            r".*quantized in the baseline and not now: single_",
            "memory": r"saved 0\.00477\d* GB below floor 0\.00577\d* GB",
        },
        green=("arithmetic", "kernels"),
    ),
    Broken(
        inject=faults.filter_is_ignored,
        fail={
            "manifest": r"quantized Linears 54, expected 44; quantized against the selection: context_embedder, ",
            "memory": r"saved \S+ GB above ceiling",
        },
        green=("kernels", "calls"),
    ),
    Broken(
        inject=faults.nothing_is_quantized,
        fail={
            "manifest": r"quantized Linears 0, expected 44",
            "memory": r"saved 0 GB below floor",
            "kernels": r"expected matmuls: none: nothing was quantized",
        },
        error={"arithmetic": r"no quantized Linear was checked"},
    ),
    Broken(
        inject=faults.other_format_is_taken,
        fail={
            "manifest": r"tensor class: NVFP4Tensor expected, MXTensor found: single_",
            "memory": r"saved 0\.0039\d* GB below floor",
            "kernels": r"nvfp4 matmuls 0, expected 176 .*matmuls of another kind: 176 mxfp8",
        },
        green=("velocity",),
    ),
    # What was multiplied.
    Broken(
        inject=faults.activation_scale_is_dropped,
        fail={
            "arithmetic": r"^linear \S+ relative above ceiling \S+ relative",
            "velocity": r"sqnr_worst_step \S+ dB below floor 10 dB",
            "quality": r"lpips_mean \S+ LPIPS above ceiling 0\.02 LPIPS \(2 prompts\)",
        },
        green=("manifest", "memory", "kernels", "calls"),
    ),
    Broken(
        inject=faults.bias_is_dropped,
        fail={
            "arithmetic": r"^linear \S+ relative above ceiling \S+ relative \(worst of 6 shapes, ",
            "velocity": r"against baseline \S+ dB above ceiling",
            "quality": r"mean against baseline \S+ LPIPS above ceiling",
        },
        green=("manifest", "memory", "kernels", "calls"),
    ),
    Broken(
        inject=faults.matmul_falls_back,
        fail={
            "kernels": r"nvfp4 matmuls 0, expected 176 \(44 Linears x 4 denoiser calls, emulated\)",
            "arithmetic": r"matmuls per Linear 0, expected 1",
        },
        green=("manifest", "memory", "velocity", "quality"),
    ),
    Broken(
        inject=faults.matmul_runs_twice,
        fail={"kernels": r"nvfp4 matmuls 352, expected 176", "arithmetic": r"matmuls per Linear 2, expected 1"},
        green=("velocity",),
    ),
    Broken(
        inject=faults.nibbles_swap,
        fail={"arithmetic": r"weight -\S+ dB below floor \S+ dB .*activation -\S+ dB below floor \S+ dB"},
        green=("manifest", "memory", "kernels", "velocity"),
    ),
    Broken(
        inject=faults.activation_nibbles_swap,
        fail={"arithmetic": r"^activation -\S+ dB below floor \S+ dB", "velocity": ANYTHING},
        green=("manifest", "memory", "kernels"),
    ),
    Broken(
        inject=faults.scales_are_not_swizzled,
        fail={"arithmetic": r"weight \S+ dB below floor \S+ dB", "velocity": ANYTHING},
        green=("manifest", "memory", "kernels"),
    ),
    Broken(
        inject=faults.fp4_rounds_down,
        fail={"arithmetic": r"weight 13\.\d+ dB below floor \S+ dB", "velocity": ANYTHING},
        green=("manifest", "memory", "kernels"),
    ),
    Broken(
        inject=faults.mx_scale_doubles,
        fail={"arithmetic": r"^activation \S+ dB below floor \S+ dB", "velocity": ANYTHING},
        green=("manifest", "memory", "kernels"),
        case=MXFP8,
    ),
    Broken(
        inject=faults.mx_weight_scales_double,
        fail={"arithmetic": r"^weight \S+ dB below floor \S+ dB", "velocity": ANYTHING},
        green=("manifest", "memory", "kernels"),
        case=MXFP8,
    ),
    Broken(
        inject=faults.mx_scales_round_down,
        fail={"arithmetic": r"^weight 30\.\d+ dB below floor 30\.5 dB", "velocity": r"^mean loss against baseline 0\."},
        green=("manifest", "memory", "kernels"),
        case=MXFP8,
    ),
    Broken(
        inject=faults.products_become_nan,
        error={
            "arithmetic": r"product: measured nan, not a number",
            "velocity": r"sqnr_worst_step: measured nan, not a number",
            "quality": r"lpips_mean: measured nan, not a number",
        },
        green=("manifest", "memory", "kernels"),
    ),
    Broken(
        inject=faults.batches_are_refused,
        error={"calls": r"calls: RuntimeError: shape '\[1, 128\]' is invalid for input of size 256 \(raised in "},
        case=NVFP4_BS2,
    ),
    # The pipeline, whatever the format.
    Broken(
        inject=faults.one_more_step,
        fail={"calls": r"denoiser calls per picture 3, expected 2 \(a pipeline default changed"},
        case=BF16,
    ),
    Broken(
        inject=faults.attention_scale_changes,
        fail={"reference": r"lpips_to_stored \S+ LPIPS above ceiling 2e-05 LPIPS \(worst of 2 pictures\)"},
        green=("calls",),
        case=BF16,
    ),
    Broken(
        inject=faults.bf16_attention_is_wrong,
        fail={"reference": r"^lpips_bf16_to_float32 0\.\d+ LPIPS above ceiling 0\.001 LPIPS"},
        green=("calls",),
        case=BF16,
    ),
    Broken(
        inject=faults.rms_norm_eps_changes,
        fail={"reference": r"lpips_to_stored \S+ LPIPS above ceiling"},
        green=("calls",),
        case=BF16,
    ),
    Broken(
        inject=faults.noise_schedule_shifts,
        fail={"reference": r"lpips_to_stored \S+ LPIPS above ceiling"},
        green=("calls",),
        case=BF16,
    ),
    Broken(
        inject=faults.rows_of_a_batch_mix,
        fail={"reference": r"lpips_to_stored 0\.\d+ LPIPS above ceiling"},
        green=("calls",),
        case=BF16,
    ),
    Broken(
        inject=faults.picture_is_black,
        fail={"reference": r"pictures that show something 0, expected 2"},
        green=("calls",),
        case=BF16,
    ),
    Broken(
        inject=faults.picture_is_black,
        fail={"quality": r"control other_prompt 0 LPIPS below floor 0\.04 LPIPS"},
        green=("calls", "kernels", "velocity", "arithmetic"),
    ),
    Broken(
        # Both sides of a comparison within one run move alike: what is wrong in bf16 is no fault of the format.
        inject=faults.attention_scale_changes,
        green=("arithmetic", "kernels", "velocity", "quality", "manifest", "memory"),
    ),
    # Compiling.
    Broken(
        inject=faults.graph_breaks,
        fail={"compile": r"aot_eager with fullgraph=True raised Unsupported: Call to `torch\._dynamo\.graph_break"},
        case=BF16,
    ),
    Broken(
        inject=faults.every_step_recompiles,
        fail={"compile": r"recompiles after warm-up [1-9]\d*, expected 0"},
        case=BF16,
    ),
    Broken(
        inject=faults.blocks_share_no_graph,
        fail={"compile": r"graphs \d above ceiling 4"},
        case=BF16,
    ),
    Broken(
        inject=faults.compiled_code_differs,
        fail={"compile": r"compiled against eager 3\d\.\d+ dB below floor 320 dB"},
        case=BF16,
    ),
    Broken(
        inject=faults.no_block_is_named,
        fail={"compile": r"FluxTransformer2DModel of the installed diffusers names no repeated blocks"},
        case=BF16,
    ),
    Broken(
        inject=faults.quantizer_looks_at_numbers,
        fail={"compile": r"aot_eager with fullgraph=True raised \w+: Could not guard on data-dependent expression"},
    ),
    # Saving and loading.
    Broken(
        inject=faults.file_loses_a_scale,
        fail={"round_trip": r"denoising steps equal after reload 0, expected 2"},
    ),
    Broken(
        inject=faults.file_holds_plain_weights,
        fail={"round_trip": r"Linears quantized after reload 0, expected 39"},
    ),
    Broken(
        inject=faults.diffusers_ignores_the_list,
        fail={"round_trip": r"Linears quantized by TorchAoConfig 54, expected 39"},
    ),
    Broken(
        inject=faults.diffusers_quantizes_otherwise,
        fail={"round_trip": r"weights equal to quantize_'s 0, expected 39"},
    ),
)


def _id(broken: Broken) -> str:
    return f"{broken.inject.__name__}-{broken.case.split('/')[1].split('-')[0]}"


@pytest.mark.parametrize("broken", BROKEN, ids=_id)
def test_a_fault_is_seen_by_its_gates_and_only_by_them(
    gate: Gate, broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken.inject(monkeypatch)
    outcome = gate(*cases(broken.case), *gates(*broken.fail, *broken.error, *broken.green))
    expected = dict.fromkeys(broken.fail, "fail") | dict.fromkeys(broken.error, "error")
    assert outcome.verdicts() == expected | dict.fromkeys(broken.green, "pass"), outcome.text
    for name, pattern in {**broken.fail, **broken.error}.items():
        record = outcome.record(name)
        assert re.search(pattern, record.message), record.message
        assert outcome.says(f"nox -s gate -- --case {broken.case} --gate {name}")
    assert outcome.code == (broken.code if expected else ExitCode.GREEN)
    assert "Traceback" not in outcome.text


def test_numerics_that_move_by_a_bit_are_told_and_not_red(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    faults.one_bit_moves(monkeypatch)
    outcome = gate(*cases(NVFP4), *gates("arithmetic", "kernels", "velocity", "quality", "digest"))
    assert set(outcome.verdicts().values()) == {"pass"}
    assert re.search(r"moved 1 \(numerics moved: [0-9a-f]{12} became [0-9a-f]{12}\)", outcome.record("digest").message)
    assert outcome.code == ExitCode.GREEN


def test_batch_one_stays_green_when_only_batches_fail(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    faults.batches_are_refused(monkeypatch)
    outcome = gate(*cases(NVFP4, NVFP4_BS2), *gates("velocity"))
    assert outcome.verdicts(NVFP4) == {"velocity": "pass"}
    assert outcome.verdicts(NVFP4_BS2) == {"velocity": "error"}
    assert outcome.code == ExitCode.ERROR
