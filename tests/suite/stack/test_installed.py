"""The stack: exact identities without imports, and one sentence for what does not import or does not fit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from fixtures.catalog.packages import overridable, packages
from fixtures.stack.installed import (
    InstalledPackage,
    Stack,
    expected_warning,
    import_problems,
    incompatibility,
    installed,
    record_identity,
    torch_that_torchao_wants,
    wheel_sha,
)

RECORD = "tiny/__init__.py,sha256=abc,3\ntiny-1.dist-info/METADATA,sha256=def,9\n"
PAIRS = """
    torchao_pytorch_compatible_versions = [
        (_parse_version("0.15.0"), _parse_version("2.9.1")),
        (_parse_version("0.15.0"), _parse_version("2.10.0.dev")),
        (_parse_version("0.16.0"), _parse_version("2.10.0")),
    ]
"""
MINIMUM = '    min_torch_version = _parse_version("2.11.0")\n'


def stack(**versions: str) -> Stack:
    packages = tuple(InstalledPackage(name=name, version=text) for name, text in versions.items())
    return Stack(packages=packages, python="3.11.7", cuda="13.0")


# --- identities


def test_installed_stack_is_read_without_importing_it() -> None:
    program = (
        "import sys; from fixtures.stack.installed import installed; found = installed();"
        "assert found.package('torch') and found.package('torchao') and found.package('diffusers'), found;"
        "assert not {'torch', 'torchao', 'diffusers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3], check=True)


def test_torch_tells_version_build_commit_and_wheel() -> None:
    found = installed()
    torch = found.package("torch")
    assert torch is not None
    assert torch.version.startswith(version("torch"))
    assert torch.git_sha is None or len(torch.git_sha) == 40
    assert found.as_dict()["torch"] == torch.version
    assert found.identities()["torch wheel"] == torch.wheel


def test_absent_package_is_absent() -> None:
    assert installed(["a-package-that-nobody-published"]).packages == ()


def test_whatever_can_be_overridden_stands_in_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By any of the names that its distribution has; what is overridden and not recorded no bisect could find."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    expected = {}
    for number, package in enumerate(packages().values()):
        info = tmp_path / f"{package.names[0].replace('-', '_')}-{number}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package.names[0]}\nVersion: {number}\n")
        expected[package.name] = str(number)
    recorded = installed().as_dict()
    assert {name: recorded.get(name) for name in overridable()} == expected


def test_wheel_is_the_same_whoever_unpacked_it() -> None:
    by_pip = RECORD + "tiny/__pycache__/__init__.cpython-311.pyc,,\ntiny-1.dist-info/INSTALLER,sha256=pip,4\n"
    by_uv = "tiny-1.dist-info/uv_cache.json,sha256=uv,2\n../../../bin/tiny,sha256=path,7\n" + RECORD
    assert record_identity(by_pip) == record_identity(by_uv) == record_identity(RECORD)
    assert record_identity(RECORD.replace("abc", "abd")) != record_identity(RECORD)
    assert record_identity("") is None


@pytest.mark.parametrize(
    ("text", "source", "direct", "sha"),
    [
        (
            "2.14.1",
            "git_version = '5c4886908584029761b579af026dcfb627c84070'",
            {},
            "5c4886908584029761b579af026dcfb627c84070",
        ),
        ("0.18.0+git1a2b3c4", "", {}, "1a2b3c4"),
        ("1.2.dev3+g1a2b3c4d5", "", {}, "1a2b3c4d5"),
        ("1.2", "__commit_id__ = commit_id = 'g1a2b3c4d5'", {}, "1a2b3c4d5"),
        ("1.2", "", {"url": "https://host/x", "vcs_info": {"vcs": "git", "commit_id": "f" * 40}}, "f" * 40),
        ("0.17.0.dev20260316+cu130", "", {}, None),
    ],
)
def test_commit_is_found_where_a_package_tells_it(text: str, source: str, direct: dict[str, object], sha: str) -> None:
    assert wheel_sha(text, source, direct) == sha


def test_checkout_is_its_commit_and_whether_it_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "tiny.py").write_text("")
    git = ["git", "-C", str(checkout), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    info = tmp_path / "site" / "tiny-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
    (info / "direct_url.json").write_text(json.dumps({"url": checkout.as_uri(), "dir_info": {"editable": True}}))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (package,) = installed(["tiny"]).packages
    assert (package.git_sha, package.wheel, package.origin) == (head, None, str(checkout))
    (checkout / "tiny.py").write_text("changed = True\n")
    assert installed(["tiny"]).packages[0].git_sha == f"{head}-dirty"


# --- imports


def importer_that_fails(**messages: Exception) -> object:
    def importer(module: str) -> None:
        for broken, error in messages.items():
            if module == broken or module.startswith(f"{broken}."):
                raise error

    return importer


def problems(**messages: Exception) -> list[str]:
    return [str(problem) for problem in import_problems(importer_that_fails(**messages))]  # type: ignore[arg-type]


def test_healthy_stack_imports() -> None:
    assert import_problems() == []


def test_torch_that_fails_is_reported_alone() -> None:
    (sentence,) = problems(torch=OSError("libcudart.so.13: cannot open\nmore"), diffusers=ImportError("torch"))
    assert sentence.startswith(
        "importing torch fails: OSError: libcudart.so.13: cannot open; another version may import: --torch "
    )


def test_each_broken_package_is_reported_once_in_one_line() -> None:
    found = problems(torchao=ModuleNotFoundError("No module named 'x'"), diffusers=RuntimeError(""))
    assert [sentence.split(": ")[0] for sentence in found] == ["importing torchao fails", "importing diffusers fails"]
    assert not any("\n" in sentence for sentence in found)
    assert "RuntimeError: no message" in found[1]


def test_submodule_that_fails_is_named() -> None:
    def importer(module: str) -> None:
        if module == "torchao.prototype.mx_formats":
            raise ImportError("cannot import name 'to_mx'")

    (problem,) = import_problems(importer)
    assert (problem.package, problem.module, problem.error, problem.message) == (
        "torchao", "torchao.prototype.mx_formats", "ImportError", "cannot import name 'to_mx'",
    )  # fmt: skip
    assert str(problem).startswith(
        f"importing {problem.module} fails: ImportError: {problem.message}; another version may import"
    )


# --- pairs


@pytest.mark.parametrize(
    ("source", "torchao", "torch", "wanted"),
    [
        (PAIRS, "0.15.0", "2.9.1+cu130", None),
        (PAIRS, "0.15.0", "2.10.0.dev20251101+cu130", None),
        (PAIRS, "0.15.0", "2.14.1", "torch 2.9.1 or torch 2.10.0.dev"),
        (PAIRS, "0.14.0", "2.9.1", "another torchao"),
        (PAIRS, "0.15.0+git1a2b3c4", "2.14.1", None),
        (MINIMUM, "0.17.0", "2.14.1", None),
        (MINIMUM, "0.17.0", "2.11.0", None),
        (MINIMUM, "0.17.0", "2.11.0.dev20260101", "torch 2.11.0 or newer"),
        (MINIMUM, "0.17.0", "2.10.0", "torch 2.11.0 or newer"),
        ("nothing", "0.99.0", "1.0.0", None),
    ],
)
def test_torchao_says_which_torch_it_wants(source: str, torchao: str, torch: str, wanted: str | None) -> None:
    found = torch_that_torchao_wants(source, torchao, torch)
    assert (None if found is None else str(found)) == wanted


def test_installed_torchao_still_says_it_where_we_look() -> None:
    found = installed().package("torchao")
    assert found is not None
    assert incompatibility(installed()) is None
    sentence = incompatibility(stack(torch="1.0.0", torchao=found.version))
    assert sentence is not None
    assert f"torchao {found.version} does not support torch 1.0.0" in sentence
    assert re.search(
        rf"nox -s gate -- --torch \d+\.\d+\.\d+ --torchao {re.escape(found.version)}, or .* --any-pair$", sentence
    )


def test_what_diffusers_will_log_of_torchao_is_told_with_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import logging, diffusers.quantizers.torchao.torchao_quantizer as q;"
        "from fixtures.stack.installed import expected_warning, installed; print(expected_warning(installed()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[3], check=True, capture_output=True, text=True
    )
    logged = "Unable to import `torchao` Tensor objects" in done.stderr
    assert bool(done.stdout.strip()) == logged, "told where it comes, and nowhere else"
    texts = {
        "diffusers": "def _update_torch_safe_globals():\n from torchao.a.b import One, Two\n\ndef other():\n pass\n",
        "torchao": "class One: pass\n",
    }
    monkeypatch.setattr("fixtures.stack.installed._text", lambda package, file: texts[package])
    said = expected_warning(stack(diffusers="0.42.1", torchao="0.18.0"))
    assert "it looks for torchao.a.b.Two, which torchao 0.18.0 does not have" in said
    texts["torchao"] += "Two = One\n"
    assert expected_warning(stack(diffusers="0.42.1", torchao="0.18.0")) == ""
    assert expected_warning(stack(diffusers="0.42.1")) == ""


def test_torch_and_torchvision_of_different_builds_are_named() -> None:
    sentence = incompatibility(stack(torch="2.13.0+cpu", torchvision="0.28.0+cu130", torchao="0.18.0"))
    assert sentence is not None
    assert "torch 2.13.0+cpu and torchvision 0.28.0+cu130" in sentence
    assert sentence.endswith("--torch ===2.13.0")
    assert incompatibility(stack(torch="2.13.0+cpu", torchvision="0.28.0+cpu")) is None
