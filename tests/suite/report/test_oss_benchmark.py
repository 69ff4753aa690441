"""The run's numbers as PyTorch's benchmark database takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from fixtures.report.oss_benchmark import oss_benchmark
from fixtures.report.write import write_summaries
from fixtures.results.run import read_run
from tests.suite.record_samples import header, write_run

TABLE = {
    "timestamp": int,
    "schema_version": str,
    "name": str,
    "repo": str,
    "head_branch": str,
    "head_sha": str,
    "workflow_id": int,
    "run_attempt": int,
    "runners": list,
    "benchmark": {"name": str, "mode": str, "dtype": str, "extra_info": "texts"},
    "model": {"name": str, "type": str, "origins": list, "extra_info": "texts"},
    "dependencies": dict,
    "metric": {"name": str, "benchmark_values": list, "target_value": float, "extra_info": "texts"},
}
"""Columns of clickhouse_db_schema/oss_ci_benchmark_v3/schema.sql that are filled in, with their types."""
ACTIONS = {
    "GITHUB_REPOSITORY": "me/gate",
    "GITHUB_REF_NAME": "main",
    "GITHUB_SHA": "ab" * 20,
    "GITHUB_RUN_ID": "12",
    "GITHUB_RUN_ATTEMPT": "1",
}


def misfits(value: object, wanted: object, where: str = "") -> Iterator[str]:
    """Where a value is not of its column's type."""
    if isinstance(wanted, dict):
        assert isinstance(value, dict)
        for name, part in value.items():
            yield from misfits(part, wanted.get(name, "no such column"), f"{where}.{name}")
    elif wanted == "texts":
        assert isinstance(value, dict)
        yield from (f"{where}.{name}" for name, text in value.items() if not isinstance(text, str))
    elif not (isinstance(wanted, type) and isinstance(value, wanted)):
        yield f"{where} is {value!r}, wanted {wanted}"


def test_every_number_is_a_row_of_the_table(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path))
    rows = json.loads(oss_benchmark(header("run"), run.records, ACTIONS))
    numbers = [check for record in run.records for check in record.checks if check.value is not None]
    assert len(rows) >= len(numbers) > 20
    assert [problem for row in rows for problem in misfits(row, TABLE)] == []
    (speed,) = (
        row
        for row in rows
        if row["metric"]["name"] == "speed: speedup"
        and row["benchmark"]["extra_info"]["case"] == "flux1-dev/nvfp4-tiny-bs1-eager"
    )
    assert speed["dependencies"]["torchao"] == {"repo": "pytorch/ao", "version": "0.18.0"}
    assert (speed["model"]["name"], speed["benchmark"]["dtype"]) == ("flux1-dev", "nvfp4")
    assert speed["metric"]["target_value"] > 0
    assert (speed["repo"], speed["workflow_id"]) == ("me/gate", 12)


def test_what_is_unknown_is_left_out_and_each_run_leaves_the_file(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    write_summaries(folder)
    rows = json.loads((folder / "oss-benchmark.json").read_text())
    assert rows
    assert "head_sha" not in json.loads(oss_benchmark(header("run"), read_run(folder).records, {}))[0]
