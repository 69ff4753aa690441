"""Two stacks side by side: what is noise, what is worse, and what the exit code says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fixtures.bisect.question import parser, question
from fixtures.compare.answer import answer
from fixtures.compare.comparison import cells, exit_code, tabulate
from fixtures.compare.page import comparison_page
from fixtures.gates.verdict import Check, Verdict
from fixtures.results.records import GateRecord, typed
from fixtures.run.next_command import bisect_arguments

CASE = "flux1-dev/nvfp4-tiny-bs1-eager"


def record(
    value: float | None, *, verdict: str = "pass", gate: str = "speed", digest: str = "", floor: float | None = 1.0
) -> GateRecord:
    check = Check(name="speedup", verdict=Verdict(verdict), value=value, floor=floor, unit="x")
    return GateRecord(
        schema=2,
        run="r",
        case=CASE,
        gate=gate,
        verdict=Verdict(verdict),
        arithmetic="emulated",
        message=f"speedup {value}",
        checks=[check],
        result={"digest": digest} if digest else {},
        reproduce=["x"],
    )


def changes(a: Sequence[float], b: Sequence[float]) -> str:
    (row,) = tabulate([[record(value)] for value in a], [[record(value)] for value in b]).rows
    return row.change


@pytest.mark.parametrize(
    ("a", "b", "change"),
    [
        ((1.4, 1.42), (1.2, 1.21), "worse"),
        ((1.4, 1.42), (1.6, 1.61), "better"),
        ((1.4, 1.5), (1.41, 1.42), "within noise"),
        ((1.4, 1.4), (1.4, 1.4), "same"),
        ((1.4, 1.4), (1.39, 1.39), "worse"),
    ],
)
def test_differences_count_only_beyond_what_processes_of_one_stack_differ(
    a: tuple[float, ...], b: tuple[float, ...], change: str
) -> None:
    assert changes(a, b) == change


def test_digests_are_compared_as_words() -> None:
    one, other = (record(1.0, gate="digest", digest=digest) for digest in ("aa", "bb"))
    table = tabulate([[one, one]], [[other]])
    assert [row.change for row in table.rows if row.name == "digest"] == ["differs"]
    same = tabulate([[one]], [[one]])
    assert [row.change for row in same.rows if row.name == "digest"] == ["same"]


def test_without_a_margin_the_worse_stacks_limits_decide() -> None:
    good, bad = [record(1.4)], [record(0.8, verdict="fail")]
    assert exit_code(tabulate([good], [good]), None) == 0
    assert exit_code(tabulate([good], [bad]), None) == 1
    assert exit_code(tabulate([bad], [good]), None) == 1
    assert exit_code(tabulate([good], [[record(None, verdict="error", floor=None)]]), None) == 7
    assert exit_code(tabulate([good], [[]]), None) == 7
    assert exit_code(tabulate([good], [[record(1.0, verdict="unsure")]]), None) == 6
    assert exit_code(tabulate([], []), None) == 5


def test_with_a_margin_only_a_loss_beyond_it_is_red() -> None:
    a, b = [record(1.4)], [record(1.25)]
    assert exit_code(tabulate([a], [b]), 0.2) == 0
    assert exit_code(tabulate([a], [b]), 0.1) == 1
    assert exit_code(tabulate([b], [a]), 0.1) == 0
    assert exit_code(tabulate([a], [[record(None, verdict="error", floor=None)]]), 0.2) == 1
    assert exit_code(tabulate([[record(0.5, verdict="fail")]], [[record(0.5, verdict="fail")]]), 0.1) == 0


def test_table_begins_with_what_differs_and_the_page_holds_it_all() -> None:
    table = tabulate(
        [[record(1.4), record(1.0, gate="memory")]], [[record(1.4), record(0.9, gate="memory", verdict="fail")]]
    )
    rows = cells(table)
    assert rows[1][:2] == (CASE, "memory")
    assert rows[1][3:] == ("1x", "0.9x", "worse", "pass", "fail")
    assert table.messages == (f"b: {CASE} memory: speedup 0.9",)
    page = comparison_page(["a: torchao 0.17.0"], rows, table.messages, answer(table, 1, margin=None, ends={}), 1)
    assert "torchao 0.17.0" in page
    assert "<script" not in page
    assert "http" not in page


ENDS = {"torchao": ("0.17.0", "0.18.0")}


def test_the_answer_says_what_moved_where_and_the_next_command() -> None:
    noted = record(0.8, verdict="fail")
    noted = noted.model_copy(update={"note": "starts at the weights of blocks.0.to_q"})
    table = tabulate([[record(1.4), record(2.0, gate="memory")]], [[noted, record(2.0, gate="memory")]])
    told = answer(table, exit_code(table, None), margin=None, ends=ENDS, options=["--any-pair"])
    assert told.headline == "b against a: 1 worse, 1 within noise or the same; 1 gate red on b alone"
    assert told.moved == (
        f"{CASE} speed: speedup 1.4x -> 0.8x (42.9%), worse, fail on b; starts at the weights of blocks.0.to_q",
    )
    assert told.meaning == "exit code 1: on the worse of the two stacks at least one gate failed"
    assert typed(told.next) == (
        f"nox -s bisect -- --case {CASE} --gate speed --good torchao=0.17.0 --bad torchao=0.18.0 --any-pair"
    )
    page = comparison_page([], cells(table), table.messages, told, 1)
    for sentence in (told.headline, told.meaning[1:], typed(told.next)):
        assert sentence in page
    asked = question(parser().parse_known_args(bisect_arguments(told.next) or [])[0])
    assert (asked.good, asked.bad) == ({"torchao": "0.17.0"}, {"torchao": "0.18.0"})


def test_what_moved_within_limits_is_said_and_moved_numerics_are_bisected() -> None:
    table = tabulate([[record(1.4)]], [[record(1.3)]])
    told = answer(table, 0, margin=None, ends=ENDS)
    assert told.moved[0].endswith("worse, within its limits")
    assert told.next == (), "every number is within its limits"
    one, other = (record(1.0, gate="digest", digest=digest) for digest in ("aa", "bb"))
    moved = answer(tabulate([[one]], [[other]]), 0, margin=None, ends=ENDS)
    assert moved.next[moved.next.index("--gate") + 1] == "digest"
    assert answer(tabulate([[one]], [[other]]), 0, margin=None, ends={}).next == ()


def test_equal_stacks_and_a_margin_have_their_own_sentences() -> None:
    same = answer(tabulate([[record(1.4)]], [[record(1.4)]]), 0, margin=None, ends=ENDS)
    assert same.headline == "b against a: nothing moved, 1 within noise or the same; no gate is red on b alone"
    worse = tabulate([[record(1.4)]], [[record(1.1)]])
    told = answer(worse, exit_code(worse, 0.1), margin=0.1, ends=ENDS)
    assert told.meaning == "exit code 1: b is worse than a by more than the margin 0.1, or lacks what a has"
