"""What uv is asked for, where it looks, and its output turned into sentences."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from fixtures.stack.install import InstallFailed, _doing, explain, find_uv, install_arguments, not_as_asked
from fixtures.stack.requirements import InstallStep
from fixtures.stack.sources import Sources, sources_of, with_first, with_more
from tests.suite.tiny_wheels import make_wheel

PIP = (
    "global.index-url='https://a/simple'\nglobal.extra-index-url='file:///b https://c'\nglobal.find-links='/w'\n"
    "global.constraint='/constraints.txt'\nglobal.cert='/ca.crt'\nglobal.timeout='60'\n"
)


def test_nightly_step_allows_prereleases_of_its_index_alone() -> None:
    step = InstallStep(requirements=("torch",), index="https://host/nightly")
    assert install_arguments(step) == ["--upgrade", "--prerelease=allow", "torch"]
    assert install_arguments(InstallStep(requirements=("torch",))) == ["torch"]


def test_uv_looks_where_pip_was_told_to() -> None:
    sources = sources_of(PIP, {})
    assert sources == Sources(
        index="https://a/simple", extra=("file:///b", "https://c"), folders=("/w",),
        constraints=("/constraints.txt",), certificates="/ca.crt",
    )  # fmt: skip
    told = " ".join(sources.options())
    assert "--default-index https://a/simple --index file:///b --index https://c --find-links /w --constr" in told
    assert sources.environment()["SSL_CERT_FILE"]
    assert sources.addresses() == ["https://a/simple", "file:///b", "https://c", "/w"]
    assert sources_of(PIP + ":env:.index-url='https://mine'\n", {}).index == "https://mine"
    assert sources_of(PIP + "global.constraint='/mine.txt'\n", {}).constraints == ("/mine.txt",), "the user's own file"
    assert sources_of("", {}).addresses() == [""]
    alone = sources_of(":env:.find-links='/w'\n:env:.no-index='1'\n", {})
    assert (alone.addresses(), alone.options()[:3]) == (["/w"], ["--no-index", "--find-links", "/w"])


def test_uvs_own_variables_win_and_constraints_stay() -> None:
    own = sources_of(PIP, {"UV_INDEX_URL": "https://mirror", "UV_FIND_LINKS": "/x,/y"})
    assert own.addresses() == ["https://mirror", "/x", "/y"]
    assert own.constraints == ("/constraints.txt",)


def test_a_nightly_index_comes_first_and_what_it_lacks_from_the_machines_own(tmp_path: Path) -> None:
    first = with_first(sources_of(PIP, {}), "https://host/nightly")
    told = " ".join(first.options())
    assert told.startswith("--index https://host/nightly --default-index https://a/simple --index file:///b")
    assert told.endswith("--index-strategy unsafe-first-match")
    assert "--constraint" not in told, "those pin releases"
    make_wheel(tmp_path, "torch", "1.0")
    assert with_first(Sources(), str(tmp_path)) == Sources(folders=(str(tmp_path),))


def test_what_is_not_as_asked_is_told() -> None:
    held = {"torch": "2.12.0.dev20261101+cu130", "mslk-cuda": "1.1.0", "torchao": "0.18.0"}
    right = [
        "torch==2.12.0.dev20261101",
        "torch==2.12.0.dev20261101+cu130",
        "mslk @ file:///x/mslk-1.1.0-py3-none-any.whl",
    ]
    assert not_as_asked(right, held) == []
    wrong = ["torch==2.12.0.dev20260901", "torchao>=0.19.dev0", "torchvision==0.27.0"]
    assert not_as_asked(wrong, held) == [
        "torch==2.12.0.dev20260901 was asked for, and 2.12.0.dev20261101+cu130 is installed",
        "torchao>=0.19.dev0 was asked for, and 0.18.0 is installed",
        "torchvision==0.27.0 was asked for, and nothing is installed",
    ]


def test_more_indexes_and_folders_join(tmp_path: Path) -> None:
    make_wheel(tmp_path, "torchao", "1.0")
    (tmp_path / "laid").mkdir()
    more = with_more(Sources(no_index=True), ["https://b", str(tmp_path), str(tmp_path / "laid")])
    assert more == Sources(extra=("https://b", (tmp_path / "laid").as_uri()), folders=(str(tmp_path),))
    assert with_more(Sources(no_index=True), [str(tmp_path)]).no_index


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            (
                "error: No solution found when resolving dependencies\n  cause: Because there is no version of "
                "torchao==9.9.9 and you require torchao==9.9.9, your requirements are unsatisfiable.\n"
            ),
            "torchao==9.9.9 does not exist for Python .* on this platform; the newest is 0.18.0",
        ),
        (
            (
                "error: No solution found\n  cause: Because mslk was not found in the package registry and you require "
                "mslk==1, we can conclude that your requirements are unsatisfiable.\n"
            ),
            "mslk cannot be installed: the package index offers it in no version for Python .* on this platform",
        ),
        (
            "error: Request failed after 3 retries in 8.8s\n  cause: Failed to fetch: http://127.0.0.1:9/simple/torch/",
            "the package index cannot be reached",
        ),
        (
            (
                "error: No solution found when resolving dependencies\n  cause: Because torchvision==0.29.1 depends on"
                "\n   torch>=2.14.0 and you require torch==2.13.0, so your requirements are unsatisfiable."
            ),
            "these versions do not go together: Because torchvision==0.29.1 depends on torch>=2.14.0 and .*",
        ),
        (
            (
                "error: No solution found\n  cause: Because only x==1.0 is available and x==1.0 has no wheels with a "
                "matching Python version tag (e.g., `cp311`), so your requirements are unsatisfiable.\n"
            ),
            "x==1.0 was built for another Python or platform",
        ),
        ("error: Failed to read `x @ file:///x-1.0-py3-none-any.whl`\n", "the wheel of x is damaged"),
        ("error: failed to write\n  cause: No space left on device (os error 28)\n", "the disk is full; .*"),
        ("error: something new\n", "installation failed: something new"),
        ("", "installation failed without a word"),
    ],
)
def test_failed_installation_is_explained_in_one_sentence(output: str, sentence: str) -> None:
    assert re.fullmatch(sentence, explain(output, newest=lambda _: "0.18.0"))


def test_progress_says_what_uv_is_at() -> None:
    lines = ["Using Python 3.11.7\n", "Resolved 3 packages in 2ms\n", "Downloading torch (506.1MiB)\n"]
    lines += ["Downloading triton (155.0MiB)\n", " Downloaded torch\n", " Downloaded triton\n", "Prepared 2 packages\n"]
    lines += [" + torch==2.14.1\n"]
    said = [_doing("".join(lines[:count])) for count in (0, 2, 4, 5, 8)]
    assert said == [
        "resolving", "resolved 3 packages in 2ms", "downloading torch (506.1MiB) and 1 more",
        "downloading triton (155.0MiB)", "prepared 2 packages",
    ]  # fmt: skip


def test_absent_uv_is_one_sentence_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "uv", None)
    with pytest.raises(InstallFailed, match="is not installed: python3 -m pip install nox uv"):
        find_uv()
