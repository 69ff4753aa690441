"""What the stack alone decides is computed once for it, kept by its own files, and never where they may not say all."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from fixtures.catalog import parse_case
from fixtures.pipelines import by_stack, observations
from fixtures.pipelines.built import MetaQuantization, Pipelines
from fixtures.pipelines.by_stack import ByStack, fingerprint
from fixtures.pipelines.observations import Observations
from fixtures.pipelines.quantize import QuantizedLinear

COUNTED = MetaQuantization(
    selected=["a"],
    linears=[QuantizedLinear(name="a", shape=(2, 3), tensor_class="NVFP4Tensor")],
    plain_bytes=12,
    quantized_bytes=4,
)


def test_an_unchanged_stack_is_asked_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def compute(said: str) -> MetaQuantization:
        asked.append(said)
        return COUNTED

    kind = TypeAdapter(MetaQuantization)
    for stack, about in (("one", "x"), ("one", "x"), ("one", "y"), ("another", "x")):
        found = ByStack(folder=tmp_path, stack=stack).get(about, kind, lambda: compute(f"{stack} {about}"))  # noqa: B023
        assert found == COUNTED
    assert asked == ["one x", "one y", "another x"]


def test_a_cache_that_nobody_may_write_keeps_nothing_and_costs_no_gate(tmp_path: Path) -> None:
    (tmp_path / "counted").write_text("a file where a folder should be")
    kept = ByStack(folder=tmp_path / "counted", stack="one")
    assert kept.get("x", TypeAdapter(MetaQuantization), lambda: COUNTED) == COUNTED


def test_a_changed_file_or_version_is_another_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "package" / "module.py"
    file.parent.mkdir()
    seen = set()
    for text, release in (("a = 1", "1.0"), ("a = 2", "1.0"), ("a = 2", "1.1")):
        file.write_text(text)
        monkeypatch.setattr(by_stack, "version", lambda _: release)  # noqa: B023
        seen.add(fingerprint(compiled=["torch"], folders=[tmp_path]))
    assert len(seen) == 3


def test_the_published_architecture_is_quantized_once_for_a_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    def quantize_on_meta(*given: object) -> MetaQuantization:
        made.append(given)
        return COUNTED

    monkeypatch.setattr(observations, "quantize_on_meta", quantize_on_meta)
    first, other = (parse_case(f"flux1-dev/{name}-meta-bs1-eager") for name in ("nvfp4", "mxfp8"))
    kept = ByStack(folder=tmp_path, stack="one")
    for run in range(2):  # two runs of the gate
        seen = Observations(pipelines=Pipelines(device="cpu", capability=None), by_stack=kept)
        assert [seen.on_meta(case) for case in (first, first, other)] == [COUNTED] * 3, run
    assert len(made) == 2
    # Where a plugin may have changed torchao in this process, its files do not say what it does.
    assert Observations(pipelines=Pipelines(device="cpu", capability=None)).on_meta(first) == COUNTED
    assert len(made) == 3
