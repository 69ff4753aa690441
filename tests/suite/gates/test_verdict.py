"""Properties of verdicts: nothing but proof is green, whatever the numbers."""

from __future__ import annotations

import itertools
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalog.schema import Limit
from fixtures.gates.verdict import (
    Check,
    ExitCode,
    Verdict,
    against,
    against_limit,
    equals,
    errored,
    exit_code,
    failed,
    forbid_skips,
    settle,
    skipped,
)

numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
not_numbers = st.sampled_from([math.nan, math.inf, -math.inf])
verdicts = st.sampled_from(Verdict)
names = st.text("abc", min_size=1, max_size=2)


@st.composite
def checks(draw: st.DrawFn, among: st.SearchStrategy[Verdict] = verdicts) -> Check:
    """A check of any verdict, with a number where that verdict has one."""
    verdict, name = draw(among), draw(names)
    match verdict:
        case Verdict.PASS:
            return against(name, draw(numbers), ceiling=3.5e38)
        case Verdict.FAIL:
            return draw(st.sampled_from([failed(name, "broken"), against(name, 1, floor=2)]))
        case Verdict.UNSURE:
            return against(name, 1.0, floor=1.5, interval=(0.5, 2))
        case Verdict.ERROR:
            return errored(name, "it raised")
    return skipped(name, "no such hardware")


def interval_around(value: float, below: float, above: float) -> tuple[float, float]:
    """An interval that holds `value`."""
    return value - abs(below), value + abs(above)


@given(value=numbers, floor=numbers)
def test_without_an_interval_a_floor_splits_the_line_in_two(value: float, floor: float) -> None:
    assert against("speedup", value, floor=floor).verdict is (Verdict.PASS if value >= floor else Verdict.FAIL)


@given(value=numbers, ceiling=numbers)
def test_without_an_interval_a_ceiling_splits_the_line_in_two(value: float, ceiling: float) -> None:
    assert against("distance", value, ceiling=ceiling).verdict is (Verdict.PASS if value <= ceiling else Verdict.FAIL)


@given(value=numbers, bound=numbers, below=numbers, above=numbers)
def test_a_pass_survives_every_value_of_its_interval(value: float, bound: float, below: float, above: float) -> None:
    low, high = interval_around(value, below, above)
    verdict = against("speedup", value, floor=bound, interval=(low, high)).verdict
    inside = {against("speedup", end, floor=bound).verdict for end in (low, value, high)}
    expected = inside.pop() if len(inside) == 1 else Verdict.UNSURE
    assert verdict is expected


@given(value=numbers, floor=numbers, below=numbers, above=numbers)
def test_turning_the_axis_around_turns_a_floor_into_a_ceiling(
    value: float, floor: float, below: float, above: float
) -> None:
    low, high = interval_around(value, below, above)
    one = against("x", value, floor=floor, interval=(low, high)).verdict
    assert one is against("x", -value, ceiling=-floor, interval=(-high, -low)).verdict


@given(value=not_numbers, floor=numbers)
def test_a_value_that_is_no_number_is_an_error_whatever_the_limit(value: float, floor: float) -> None:
    assert against("speedup", value, floor=floor).verdict is Verdict.ERROR
    assert against("speedup", value, ceiling=floor).verdict is Verdict.ERROR
    assert against("speedup", value, ceiling=floor).value is None


@given(value=numbers, end=not_numbers, floor=numbers)
def test_an_interval_that_is_none_is_an_error(value: float, end: float, floor: float) -> None:
    for interval in ((end, value), (value, end), (end, end)):
        assert against("speedup", value, floor=floor, interval=interval).verdict is Verdict.ERROR


def test_an_interval_that_runs_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match="runs backwards"):
        against("speedup", 1.5, floor=1.0, interval=(2.0, 0.5))


@pytest.mark.parametrize("bound", [math.nan, math.inf, -math.inf])
def test_a_limit_that_is_no_number_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match="no number"):
        against("speedup", 1.5, floor=bound)


def test_a_check_without_a_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="has no limit"):
        against("speedup", 1.5)


@given(value=numbers, floor=numbers, low=numbers, high=numbers)
def test_an_estimate_below_the_floor_never_passes_on_its_interval(
    value: float, floor: float, low: float, high: float
) -> None:
    low, high = sorted((low, high))
    check = against("speedup", value, floor=floor, interval=(low, high))
    assert check.verdict is not Verdict.PASS or value >= floor


@given(value=numbers, bound=numbers, is_floor=st.booleans(), below=numbers, above=numbers)
def test_a_sentence_never_contradicts_its_verdict(
    value: float, bound: float, is_floor: bool, below: float, above: float
) -> None:
    interval = interval_around(value, below, above)
    floor, ceiling = (bound, None) if is_floor else (None, bound)
    check = against("x", value, interval=interval, floor=floor, ceiling=ceiling)
    words = {Verdict.PASS: "within", Verdict.FAIL: "below" if is_floor else "above", Verdict.UNSURE: "straddles"}
    assert f" {words[check.verdict]} {'floor' if is_floor else 'ceiling'} " in check.sentence()


@given(value=numbers, bound=numbers)
def test_a_failing_value_is_never_printed_as_its_bound(value: float, bound: float) -> None:
    check = against("x", value, floor=bound)
    if check.verdict is Verdict.FAIL:
        shown = re.fullmatch(r"x (\S+) below floor (\S+)", check.sentence())
        assert shown is not None
        assert shown[1] != shown[2]


def test_of_two_bounds_the_sentence_names_the_broken_one() -> None:
    assert against("saved", 1.05, floor=0.99, ceiling=1.01).sentence() == "saved 1.05 above ceiling 1.01"
    assert against("saved", 0.95, floor=0.99, ceiling=1.01).sentence() == "saved 0.95 below floor 0.99"
    assert against("saved", 1.0, floor=0.99, ceiling=1.01).sentence() == "saved 1 within 0.99 to 1.01"


def test_a_count_says_what_was_expected() -> None:
    assert equals("Linears", 493, 494).sentence() == "Linears 493, expected 494"
    assert equals("Linears", 493, 494).verdict is Verdict.FAIL


@given(value=numbers, expected=numbers)
def test_equals_passes_exactly_equality(value: float, expected: float) -> None:
    assert (equals("n", value, expected).verdict is Verdict.PASS) is (value == expected)


@given(value=numbers, bound=numbers, is_floor=st.booleans())
def test_a_limit_of_the_catalog_judges_as_its_numbers_do(value: float, bound: float, is_floor: bool) -> None:
    limit = Limit(
        gate="speed",
        quantity="speedup",
        unit="x",
        source="measured",
        floor=bound if is_floor else None,
        ceiling=None if is_floor else bound,
    )
    check = against_limit(value, limit)
    plain = against("speedup", value, floor=limit.floor, ceiling=limit.ceiling)
    assert (check.verdict, check.name, check.unit, check.source) == (plain.verdict, "speedup", "x", "measured")


@given(st.lists(checks(), max_size=6))
def test_the_worst_check_decides_and_order_does_not_matter(found: list[Check]) -> None:
    judgement = settle(found)
    present = {check.verdict for check in found}
    order = [Verdict.FAIL, Verdict.ERROR, Verdict.UNSURE, Verdict.PASS, Verdict.SKIP]
    assert judgement.verdict is next((v for v in order if v in present), Verdict.ERROR)
    assert settle(reversed(found)).verdict is judgement.verdict


@given(st.lists(checks(), max_size=6), checks())
def test_another_check_never_mends_a_judgement(found: list[Check], added: Check) -> None:
    before, after = settle(found).verdict, settle([*found, added]).verdict
    red = {Verdict.FAIL, Verdict.ERROR, Verdict.UNSURE}
    assert before not in red or after in red or not found


@given(st.lists(checks(), max_size=6))
def test_a_judgement_passes_only_with_a_passed_check(found: list[Check]) -> None:
    judgement = settle(found)
    if judgement.verdict is Verdict.PASS:
        assert any(check.verdict is Verdict.PASS for check in found)
        assert all(check.verdict in {Verdict.PASS, Verdict.SKIP} for check in found)
    assert judgement.message


@given(st.lists(checks(), min_size=1, max_size=6))
def test_the_deciding_check_has_the_verdict_and_its_sentence_is_told(found: list[Check]) -> None:
    judgement = settle(found)
    assert judgement.deciding is not None
    assert judgement.deciding.verdict is judgement.verdict
    assert judgement.deciding.sentence() in judgement.message


@given(st.lists(checks(), max_size=6))
def test_where_skips_are_forbidden_none_is_left(found: list[Check]) -> None:
    judgement = settle(found, note="n")
    strict = forbid_skips(judgement)
    skips = [check for check in found if check.verdict is Verdict.SKIP]
    assert strict.verdict is (Verdict.FAIL if skips else judgement.verdict)
    assert all(check.verdict is not Verdict.SKIP for check in strict.checks)
    assert strict.note == "n"
    assert all(check.note in strict.message for check in skips)


def test_a_skip_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="no reason"):
        skipped("speed", "  ")


runs = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), verdicts), max_size=8)


@given(runs)
def test_green_is_every_gate_entitled_and_every_case_proven(cases: list[tuple[str, Verdict]]) -> None:
    harmless = all(verdict in {Verdict.PASS, Verdict.SKIP} for _, verdict in cases)
    proven = all((case, Verdict.PASS) in cases for case, _ in cases)
    assert (exit_code(cases) == ExitCode.GREEN) is (bool(cases) and harmless and proven)


def test_a_proven_case_does_not_vouch_for_another() -> None:
    assert exit_code([("a", Verdict.PASS), ("b", Verdict.SKIP)]) == ExitCode.ONLY_SKIPS


def test_what_was_recorded_counts_where_another_case_has_nothing_to_record() -> None:
    assert exit_code([("a", Verdict.PASS), ("b", Verdict.SKIP)], recording=True) == ExitCode.GREEN
    assert exit_code([("a", Verdict.PASS), ("b", Verdict.FAIL)], recording=True) == ExitCode.FAIL
    assert exit_code([("a", Verdict.SKIP)], recording=True) == ExitCode.ONLY_SKIPS


@given(runs, st.randoms(use_true_random=False))
def test_the_exit_code_does_not_depend_on_order(cases: list[tuple[str, Verdict]], luck: object) -> None:
    shuffled = list(cases)
    luck.shuffle(shuffled)  # type: ignore[attr-defined]
    assert exit_code(shuffled) == exit_code(cases)


def test_exit_codes_differ_and_leave_pytests_own_alone() -> None:
    codes = {name: value for name, value in vars(ExitCode).items() if name.isupper()}
    assert len(set(codes.values())) == len(codes)
    assert not {2, 3, 4} & set(codes.values())


@pytest.mark.parametrize(
    ("present", "code"),
    [
        ([], ExitCode.NOTHING_SELECTED),
        ([Verdict.PASS], ExitCode.GREEN),
        ([Verdict.PASS, Verdict.SKIP], ExitCode.GREEN),
        ([Verdict.SKIP], ExitCode.ONLY_SKIPS),
        ([Verdict.PASS, Verdict.UNSURE], ExitCode.UNSURE),
        ([Verdict.UNSURE, Verdict.ERROR, Verdict.PASS], ExitCode.ERROR),
        ([Verdict.ERROR, Verdict.FAIL, Verdict.UNSURE], ExitCode.FAIL),
    ],
)
def test_each_outcome_has_its_exit_code(present: list[Verdict], code: int) -> None:
    for order in itertools.permutations(present):
        assert exit_code([("case", verdict) for verdict in order]) == code
