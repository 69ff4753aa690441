"""Bisects that cannot be answered, or may not begin: one sentence each, and the code that says which."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.bisect import __main__ as bisect
from fixtures.bisect.budget import Rung
from fixtures.bisect.log import LOG, BisectLog, LogProblem
from fixtures.bisect.plan import BisectPlan
from fixtures.bisect.probe import ProbeTools
from fixtures.bisect.question import parser, question
from fixtures.bisect.search import SearchSettings
from tests.suite.bisect_stand_in import CASE, run, wheels


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ({"0.1": "good", "0.2": "good"}, "the bad end is not bad at torchao 0.2"),
        ({"0.1": "bad", "0.2": "bad"}, "the good end is not good at torchao 0.1"),
        ({"0.1": "good", "0.2": "hang"}, "the bad end is not bad at torchao 0.2 (hung: did not end within 8 s"),
    ],
)
def test_ends_that_are_not_reproduced_end_it_with_code_1(
    tmp_path: Path, stand_in: ProbeTools, kinds: dict[str, str], words: str
) -> None:
    code, answer = run(
        tmp_path, wheels(tmp_path / "index", kinds), stand_in, "--good", "torchao=0.1", "--time-limit", "8"
    )
    assert code == 1
    assert words in answer.sentence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gate", "velocity", "--good", "torchao=0.1"], "--case and --gate say what turned red"),
        (["--case", "nowhere", "--gate", "velocity"], "unknown case 'nowhere'"),
        (["--case", CASE, "--gate", "colour", "--bad", "torchao=1"], "unknown gate 'colour'"),
        (["--case", CASE, "--gate", "reference", "--bad", "torchao=1"], "says nothing about"),
        (["--case", CASE, "--gate", "digest", "--margin", "1", "--bad", "torchao=1"], "--margin is a number"),
        (["--case", CASE, "--gate", "velocity", "--good", "numpy=1"], "unknown package 'numpy'"),
        (["--case", CASE, "--gate", "velocity", "--good", "torchao"], "is no PACKAGE=VERSION"),
        (["--case", CASE, "--gate", "velocity", "--good", "torchao=9.9"], "torchao=9.9: not offered here"),
        (
            ["--case", CASE, "--gate", "velocity", "--good", "torchao=0.1", "--bad", "torch=2"],
            "torch has a bad version and no good one",
        ),
        (["--resume", "nowhere"], "--resume nowhere holds no bisect.jsonl"),
    ],
)
def test_bad_questions_end_in_one_sentence(
    tmp_path: Path, stand_in: ProbeTools, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    index = wheels(tmp_path / "index", {"0.1": "good"})
    assert bisect.main([*arguments, "--index", str(index), "--cache", str(tmp_path / "cache")], tools=stand_in) in (
        4,
        7,
    )
    said = capsys.readouterr().err.strip().splitlines()
    assert words in said[-1]


def test_two_bisects_do_not_share_a_folder(
    tmp_path: Path, stand_in: ProbeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    index = wheels(tmp_path / "index", {"0.1": "good", "0.2": "bad"})
    with bisect.only_one(tmp_path / "out"):
        for again in (
            ["--resume", str(tmp_path / "out")],
            ["--case", CASE, "--gate", "velocity", "--good", "torchao=0.1"],
        ):
            kept = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out"), "--index", str(index)]
            assert bisect.main([*again, *kept], tools=stand_in) == 7
            assert "another bisect is at work" in capsys.readouterr().err.splitlines()[-1]
    assert run(tmp_path, index, stand_in, "--good", "torchao=0.1")[0] == 0


def test_log_that_is_there_already_is_not_overwritten(tmp_path: Path) -> None:
    plan = BisectPlan(
        question=question(parser().parse_args(["--case", CASE, "--gate", "velocity"])),
        axes=[],
        files={},
        left_out=[],
        settings=SearchSettings(),
        suite_arguments=[],
        base="/",
        rungs=[Rung(case=CASE, limit_s=1.0)],
    )
    BisectLog.begin(tmp_path / LOG, plan)
    assert BisectLog.resume(tmp_path / LOG)[1] == plan
    with pytest.raises(LogProblem, match="--resume"):
        BisectLog.begin(tmp_path / LOG, plan)
    (tmp_path / LOG).write_text("{}\n")
    with pytest.raises(LogProblem, match="is damaged"):
        BisectLog.resume(tmp_path / LOG)
