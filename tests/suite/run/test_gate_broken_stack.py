"""A stack that does not import, or does not fit together: every gate says `error` and why, in one sentence."""

from __future__ import annotations

import dataclasses
import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from fixtures.gates.verdict import Cause, ExitCode
from fixtures.stack.installed import Stack, installed
from tests.suite.gate_runs import BF16, NVFP4, Gate, cases, gates


class Refuses(importlib.abc.MetaPathFinder):
    """Makes the import of one module fail, as a missing symbol in its extension does."""

    def __init__(self, module: str, message: str) -> None:
        self.module, self.message = module, message

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Raise for the module; know nothing of others."""
        if name == self.module:
            raise ImportError(self.message)
        return None


@pytest.fixture(params=["torchao.prototype.mx_formats", "diffusers.quantizers", "torchao", "diffusers"])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that no longer imports."""
    module = str(request.param)
    refuses = Refuses(module, f"{module}.abi3.so: undefined symbol: _ZN2at\nand a second line that nobody needs")
    monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [refuses, *sys.meta_path])
    return module


def test_an_import_that_fails_is_the_verdict_of_every_gate(gate: Gate, broken: str) -> None:
    outcome = gate(*cases(BF16, NVFP4), *gates("manifest", "memory", "calls", "digest"))
    assert outcome.code == ExitCode.ERROR, outcome.text
    assert len(outcome.records) == 6
    package = broken.partition(".")[0]
    sentence = f"importing {broken} fails: ImportError: {broken}.abi3.so: undefined symbol: _ZN2at"
    for record in outcome.records:
        assert record.verdict == "error"
        assert sentence in record.message
        assert f"another version may import: --{package} VERSION" in record.message
        assert "second line" not in record.message
    assert outcome.says(sentence)
    assert "Traceback" not in outcome.text


def test_packages_that_do_not_fit_together_are_an_error(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    here = installed()

    def older() -> Stack:
        packages = [
            dataclasses.replace(package, version="2.9.0") if package.name in {"torch", "torchvision"} else package
            for package in here.packages
        ]
        return dataclasses.replace(here, packages=tuple(packages))

    monkeypatch.setattr("fixtures.run.session.installed", older)
    outcome = gate(*cases(BF16), *gates("calls", "digest"))
    assert outcome.code == ExitCode.ERROR, outcome.text
    for record in outcome.records:
        assert "does not support torch 2.9.0, by its own word, and leaves kernels out" in record.message
        pair = "--torch 2.11.0 --torchao 0.18.0"
        assert f"give a pair that fits: nox -s gate -- {pair}, or judge this one all the same" in record.message
        assert record.message.endswith("--any-pair")


def test_a_renamed_config_is_named_with_its_file(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "torchao.prototype.mx_formats"
    monkeypatch.delattr(f"{module}.NVFP4DynamicActivationNVFP4WeightConfig")
    outcome = gate(*cases(NVFP4), *gates("manifest"))
    assert outcome.code == ExitCode.ERROR
    message = outcome.record("manifest").message
    assert f"{module} of the installed stack has no NVFP4DynamicActivationNVFP4WeightConfig" in message
    assert "correct fixtures/catalog/formats.py or pin the version" in message


def test_only_what_compares_pictures_needs_a_metric(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("stlpips_pytorch", "stlpips_pytorch.stlpips"):
        monkeypatch.setitem(sys.modules, module, None)
    outcome = gate(*cases(NVFP4), *gates("manifest", "memory", "quality"))
    assert outcome.verdicts() == {"manifest": "pass", "memory": "pass", "quality": "error"}, outcome.text
    quality = outcome.record("quality")
    assert "needs the package stlpips-pytorch" in quality.message
    assert [check.cause for check in quality.checks] == [Cause.MISSING_DEPENDENCY]
    assert quality.next == quality.reproduce, "no version of a package is to blame, so none is searched"
