"""Properties of the gates that count: a count is right or wrong, and nothing counted is never right."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fixtures.catalog.schema import Limit
from fixtures.gates.counts import (
    MEMORY_TOLERANCE,
    judge_calls,
    judge_compilation,
    judge_leaks,
    judge_manifest,
    judge_matmuls,
    judge_rest,
    judge_saved_bytes,
    judge_stored_manifest,
)
from fixtures.gates.verdict import Check, Verdict, settle

FLOOR = Limit(gate="compile", quantity="compiled against eager", unit="dB", floor=40.0, source="a test's own")
names = st.sets(st.text("ab.", min_size=1, max_size=4), max_size=6)
counts = st.integers(0, 600)


def verdict(checks: list[Check]) -> Verdict:
    """What a gate with these checks says."""
    return settle(checks).verdict


# ---- manifest ------------------------------------------------------------------------------------------------------


@given(wanted=names, found=names)
def test_a_manifest_passes_only_when_the_sets_are_equal_and_not_empty(wanted: set[str], found: set[str]) -> None:
    checks = judge_manifest(wanted=sorted(wanted), found=dict.fromkeys(found, "T"), tensor_class="T")
    assert verdict(checks) == (Verdict.PASS if wanted == found and wanted else Verdict.FAIL)


@given(wanted=names, found=names)
def test_a_manifest_names_what_is_missing_and_what_is_too_much(wanted: set[str], found: set[str]) -> None:
    checks = judge_manifest(wanted=sorted(wanted), found=dict.fromkeys(found, "T"), tensor_class="T")
    said = {check.name: check.note for check in checks}
    for label, group in (("not quantized", wanted - found), ("quantized against the selection", found - wanted)):
        assert (label in said) == bool(group)
        assert all(name in said[label] for name in sorted(group)[:3])


@given(wanted=names, odd=st.integers(0, 5))
def test_one_other_tensor_class_fails(wanted: set[str], odd: int) -> None:
    assume(wanted)
    found = dict.fromkeys(sorted(wanted), "NVFP4Tensor")
    name = sorted(wanted)[odd % len(wanted)]
    found[name] = "Float8Tensor"
    checks = judge_manifest(wanted=sorted(wanted), found=found, tensor_class="NVFP4Tensor")
    assert verdict(checks) is Verdict.FAIL
    assert f"NVFP4Tensor expected, Float8Tensor found: {name}" in settle(checks).message


@given(wanted=names, declared=st.integers(0, 8))
def test_a_selection_that_takes_another_number_than_the_catalog_says_fails(wanted: set[str], declared: int) -> None:
    found = dict.fromkeys(wanted, "T")
    checks = judge_manifest(wanted=sorted(wanted), found=found, tensor_class="T", declared=declared)
    assert (verdict(checks) is Verdict.PASS) == (declared == len(wanted) > 0)


@given(stored=names, found=names)
def test_a_stored_manifest_passes_only_when_the_names_are_the_same(stored: set[str], found: set[str]) -> None:
    checks = judge_stored_manifest(found=dict.fromkeys(found, "T"), stored=sorted(stored), tensor_class="T")
    assert (verdict(checks) is Verdict.PASS) == (stored == found)


def test_a_stored_manifest_of_another_class_fails() -> None:
    checks = judge_stored_manifest(found={"a": "MXTensor"}, stored=["a"], tensor_class="NVFP4Tensor")
    assert verdict(checks) is Verdict.FAIL


# ---- memory --------------------------------------------------------------------------------------------------------


@given(expected=st.integers(10**6, 10**11), share=st.floats(-1, 3))
def test_saved_bytes_pass_within_one_per_cent(expected: int, share: float) -> None:
    assume(abs(abs(share - 1) - MEMORY_TOLERANCE) > 1e-6)
    check = judge_saved_bytes(saved=round(expected * share), expected=expected)
    assert (check.verdict is Verdict.PASS) == (abs(share - 1) < MEMORY_TOLERANCE)


@given(expected=st.integers(1, 10**11))
def test_nothing_saved_never_passes(expected: int) -> None:
    assert judge_saved_bytes(saved=0, expected=expected).verdict is Verdict.FAIL


# ---- calls ---------------------------------------------------------------------------------------------------------


@given(declared=st.integers(1, 100), calls=st.lists(st.integers(0, 100), max_size=6))
def test_every_pipeline_call_must_make_the_declared_calls(declared: int, calls: list[int]) -> None:
    found = verdict(judge_calls(calls=calls, declared=declared))
    expected = Verdict.PASS if calls and set(calls) == {declared} else Verdict.FAIL if calls else Verdict.ERROR
    assert found is expected


# ---- kernels -------------------------------------------------------------------------------------------------------


@given(linears=counts, calls=st.integers(0, 60), counted=st.integers(0, 40_000))
def test_matmuls_pass_only_at_one_a_linear_a_call(linears: int, calls: int, counted: int) -> None:
    for matmuls in ({"nvfp4": counted}, {"nvfp4": linears * calls}):
        checks = judge_matmuls(
            matmuls=matmuls, kind="nvfp4", linears=linears, denoiser_calls=calls, arithmetic="emulated"
        )
        right = matmuls["nvfp4"] == linears * calls > 0
        assert verdict(checks) is (Verdict.PASS if right else Verdict.FAIL)


@given(other=st.integers(1, 100))
def test_a_matmul_of_another_kind_fails_even_beside_all_of_ones_own(other: int) -> None:
    checks = judge_matmuls(
        matmuls={"nvfp4": 6, "mxfp8": other}, kind="nvfp4", linears=2, denoiser_calls=3, arithmetic="emulated"
    )
    assert verdict(checks) is Verdict.FAIL
    assert f"{other} mxfp8" in settle(checks).message


def test_nothing_multiplied_never_passes() -> None:
    checks = judge_matmuls(matmuls={}, kind="nvfp4", linears=0, denoiser_calls=0, arithmetic="emulated")
    assert verdict(checks) is Verdict.FAIL


# ---- compile -------------------------------------------------------------------------------------------------------


def compilation(
    *, error: str = "", breaks: int = 0, graphs: int = 2, classes: int = 1, recompiles: int = 0, sqnr_db: float = 320.0
) -> Verdict:
    """The verdict about a compilation that is healthy but for what is given."""
    checks = judge_compilation(
        error=error,
        graph_breaks=breaks,
        graphs=graphs,
        block_classes=classes,
        recompiles=recompiles,
        sqnr_db=sqnr_db,
        floor=FLOOR,
        backend="aot_eager",
    )
    return verdict(checks)


@given(breaks=st.integers(0, 3), graphs=st.integers(0, 3), recompiles=st.integers(0, 3), sqnr=st.floats(0, 320))
def test_compiling_passes_only_whole_once_and_close(breaks: int, graphs: int, recompiles: int, sqnr: float) -> None:
    healthy = breaks == 0 and 0 < graphs <= 2 and recompiles == 0 and sqnr >= 40.0
    found = compilation(breaks=breaks, graphs=graphs, recompiles=recompiles, sqnr_db=sqnr)
    assert found is (Verdict.PASS if healthy else Verdict.FAIL)


@given(sqnr=st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_closeness_that_is_no_number_never_passes(sqnr: float) -> None:
    assert compilation(sqnr_db=sqnr) is Verdict.ERROR


@given(graphs=st.integers(1, 80), classes=st.integers(1, 4))
def test_blocks_of_a_class_share_their_graphs(graphs: int, classes: int) -> None:
    assert (compilation(graphs=graphs, classes=classes) is Verdict.PASS) == (graphs <= 2 * classes)


@given(text=st.text(min_size=1))
def test_whatever_the_compiler_raised_fails(text: str) -> None:
    assert compilation(error=text) is Verdict.FAIL


def test_compiling_without_a_floor_is_an_error_that_says_where_to_write_one() -> None:
    checks = judge_compilation(
        error="",
        graph_breaks=0,
        graphs=1,
        block_classes=1,
        recompiles=0,
        sqnr_db=320.0,
        floor=None,
        backend="aot_eager",
    )
    assert verdict(checks) is Verdict.ERROR
    assert "add one to fixtures/catalog/common_limits.py" in settle(checks).message


def test_a_parameter_that_changed_beside_the_weights_is_named() -> None:
    assert judge_rest(changed=[]).verdict is Verdict.PASS
    check = judge_rest(changed=["norm.weight", "a.bias"])
    assert check.verdict is Verdict.FAIL
    assert "a.bias, norm.weight" in check.note


@pytest.mark.parametrize(
    ("beside", "kept", "passes"), [(0, 0, True), (16_000, 4000, True), (0, 8192, False), (20_000, 0, False)]
)
def test_one_more_picture_may_leave_less_behind_than_quantizing(beside: int, kept: int, passes: bool) -> None:
    assert all(check.verdict is Verdict.PASS for check in judge_leaks(beside=beside, kept=kept)) == passes
