"""Overrides on the command line become an environment's contents."""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalog.packages import overridable
from fixtures.stack.install import distributions_of, install_arguments
from fixtures.stack.requirements import (
    NIGHTLY_INDEX,
    BadOverride,
    Environment,
    InstallStep,
    arguments_of,
    nightly,
    pinned,
    pinned_requirements,
    released,
    resolve_override,
    split_arguments,
)
from tests.suite.tiny_wheels import make_wheel

PINNED = ("torch==2.14.1", "torchvision==0.29.1", "torchao==0.18.0", "diffusers==0.42.1", "pytest==9.2.0")
WORDS = st.sampled_from(["-x", "--model", "flux1-dev", "--case=a/b", "-k", "torch and not torchao"])


@given(before=st.lists(WORDS), after=st.lists(WORDS), package=st.sampled_from(overridable()), joined=st.booleans())
def test_overrides_are_taken_out_and_the_rest_keeps_its_order(
    before: list[str], after: list[str], package: str, joined: bool
) -> None:
    override = [f"--{package}=1.2"] if joined else [f"--{package}", "1.2"]
    given_, rest = split_arguments([*before, *override, *after])
    assert given_ == {package: "1.2"}
    assert list(rest) == before + after


@pytest.mark.parametrize("arguments", [["--torchao"], ["--torchao="], ["--torchao", "-x"]])
def test_override_without_value_is_refused(arguments: list[str]) -> None:
    with pytest.raises(BadOverride, match="--torchao needs a value, such as --torchao 1"):
        split_arguments(arguments)


@pytest.mark.parametrize(
    ("typed", "requirement"),
    [
        ("0.17.0", "torchao==0.17.0"),
        ("0.19.0.dev20261101+cu130", "torchao==0.19.0.dev20261101+cu130"),
        (">=0.17,<0.19", "torchao>=0.17,<0.19"),
        ("===0.17.0", "torchao===0.17.0"),
        ("git+https://host/torchao@1234567", "torchao @ git+https://host/torchao@1234567"),
        ("https://host/torchao-0.17.0.whl", "torchao @ https://host/torchao-0.17.0.whl"),
    ],
)
def test_override_becomes_a_requirement(tmp_path: Path, typed: str, requirement: str) -> None:
    assert resolve_override("torchao", typed, relative_to=tmp_path).requirement == requirement


def test_rebuilt_wheel_is_another_override(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "torchao", "0.17.0")
    first = resolve_override("torchao", wheel.name, relative_to=tmp_path)
    os.utime(wheel, ns=(1, 1))
    second = resolve_override("torchao", wheel.name, relative_to=tmp_path)
    assert first.requirement == second.requirement == f"torchao @ {wheel.as_uri()}"
    assert released(PINNED, [first]).name != released(PINNED, [second]).name


@pytest.mark.parametrize(
    ("package", "typed", "words"),
    [
        ("torchao", "0.17.x", "neither a version nor the path of a wheel or checkout that exists"),
        ("torchao", "../nowhere", "neither a version nor the path"),
        ("torchao", "torchao-9-py3-none-any.whl", "there is no such wheel"),
        (
            "torchao",
            "torch-2.0-py3-none-any.whl",
            "-2.0-py3-none-any.whl is a wheel of torch; give it as --torch",
        ),
        ("torch", "torch-3.0-py3-none-any.whl", "/torch-3.0-py3-none-any.whl is damaged: it cannot be unpacked"),
        ("torch", "torch-4.0-py3-none-any.whl", "is damaged: torch.py in it has other bytes than were packed"),
        ("torch", "torch-5.0-py3-none-any.whl", "is damaged: it has no METADATA and no RECORD"),
        ("torchao", "other", "/other is a checkout of numpy, not of torchao"),
        (
            "torchao",
            "diffusers-main",
            "/diffusers-main is a checkout of diffusers, not of torchao; give it as --diffusers",
        ),
        ("torchao", "named", "/named is a checkout of torchvision, not of torchao; give it as --torchvision"),
        ("torchao", "renamed.whl", "keep the original one"),
        ("torchao", "empty", "it is no checkout"),
        ("torch", "checkout", "build a wheel"),
    ],
)
def test_bad_override_names_input_and_remedy(tmp_path: Path, package: str, typed: str, words: str) -> None:
    make_wheel(tmp_path, "torch", "2.0")
    (tmp_path / "renamed.whl").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "setup.py").touch()
    short, flipped = (
        make_wheel(tmp_path, "torch", "3.0"),
        make_wheel(tmp_path, "torch", "4.0", "version = 'abcdefgh'\n"),
    )
    short.write_bytes(short.read_bytes()[:-100])
    flipped.write_bytes(flipped.read_bytes().replace(b"abcdefgh", b"abcdefgH"))
    with zipfile.ZipFile(tmp_path / "torch-5.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("torch.py", "")
    project = {
        "other/pyproject.toml": "[project]\nname = 'NumPy'\n",
        "diffusers-main/setup.py": "from setuptools import setup\nsetup(\n    name='diffusers',\n)\n",
        "named/setup.cfg": "[metadata]\nname = torchvision\n",
        "named/setup.py": "import setuptools\nsetuptools.setup()\n",
    }
    for path, text in project.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    with pytest.raises(BadOverride, match=re.escape(words)) as refused:
        resolve_override(package, typed, relative_to=tmp_path)
    assert str(refused.value).startswith(f"--{package} {typed}: ")


def test_without_overrides_every_session_shares_the_pinned_environment() -> None:
    assert released(PINNED, []) == Environment(name="suite", steps=(InstallStep(requirements=PINNED),))


def test_override_changes_one_line_of_a_copy(tmp_path: Path) -> None:
    environment = released(PINNED, [resolve_override("torchao", "0.17.0", relative_to=tmp_path)])
    assert environment.base == released(PINNED, [])
    assert environment.name.startswith("stack-")
    assert set(environment.steps[0].requirements) == set(PINNED) - {"torchao==0.18.0"} | {"torchao==0.17.0"}


def test_torchvision_follows_an_overridden_torch(tmp_path: Path) -> None:
    overrides = [resolve_override("torch", "2.13.0", relative_to=tmp_path)]
    assert {"torch==2.13.0", "torchvision"} <= set(released(PINNED, overrides).steps[0].requirements)
    overrides.append(resolve_override("torchvision", "0.28.0", relative_to=tmp_path))
    assert {"torch==2.13.0", "torchvision==0.28.0"} <= set(released(PINNED, overrides).steps[0].requirements)


def test_torch_of_another_build_than_torchvision_is_replaced(tmp_path: Path) -> None:
    def last(given: str) -> InstallStep:
        return released(PINNED, [resolve_override("torch", given, relative_to=tmp_path)]).steps[-1]

    assert last("2.13.0") == InstallStep(requirements=("torch===2.13.0",), unless="import torchvision")
    assert not last("2.13.0+cpu").unless
    assert not last(">=2.13").unless


def test_wheel_of_the_installed_version_is_installed_all_the_same(tmp_path: Path) -> None:
    make_wheel(tmp_path, "torchao", "0.18.0")
    override = resolve_override("torchao", "torchao-0.18.0-py3-none-any.whl", relative_to=tmp_path)
    assert released(PINNED, [override]).steps[0].replaced == ("torchao",)


def test_checkout_is_built_last_against_the_torch_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    first, last = released(PINNED, [resolve_override("diffusers", ".", relative_to=tmp_path)]).steps
    assert not any(line.startswith("diffusers") for line in first.requirements)
    assert "setuptools" in first.requirements
    assert install_arguments(last) == ["--no-build-isolation", "--editable", str(tmp_path)]


def test_only_moving_packages_come_from_the_nightly_index(tmp_path: Path) -> None:
    versions = {"torch": "2.12.0.dev20261101", "torchao": "0.19.0.dev20261101", "mslk": "2026.11.1"}
    moving, resting = nightly(PINNED, [], index=NIGHTLY_INDEX, today="2026-11-01", versions=versions).steps
    exact = ("torch==2.12.0.dev20261101", "torchvision>=0.dev0", "torchao==0.19.0.dev20261101", "mslk==2026.11.1")
    assert moving.requirements == exact
    assert moving.index == NIGHTLY_INDEX
    assert resting.requirements == ("diffusers==0.42.1", "pytest==9.2.0")
    assert (resting.index, resting.keep) == (None, ("torch", "torchvision", "torchao", "mslk"))


def test_nightlies_are_renewed_once_a_day_in_one_place() -> None:
    days = [
        nightly(PINNED, [], index=NIGHTLY_INDEX, today=day, versions={})
        for day in ("2026-11-01", "2026-11-01", "2026-11-02")
    ]
    assert {day.name for day in days} == {"b200"}
    assert days[0].fingerprint() == days[1].fingerprint() != days[2].fingerprint()


def test_overridden_nightly_is_another_environment(tmp_path: Path) -> None:
    override = resolve_override("torchao", "0.19.0.dev20261101", relative_to=tmp_path)
    changed = nightly(PINNED, [override], index=NIGHTLY_INDEX, today="2026-11-01", versions={})
    assert changed.name.startswith("b200-")
    assert "torchao==0.19.0.dev20261101" in changed.steps[0].requirements
    assert sum(line.startswith("torchao") for line in changed.steps[0].requirements) == 1


@pytest.mark.parametrize(
    ("typed", "from_nightly_index", "requirement"),
    [
        ("1.1.0", False, "mslk-cuda==1.1.0"),
        ("2026.4.21", False, "mslk-cuda-nightly==2026.4.21"),
        ("2026.11.1+cu130", True, "mslk==2026.11.1+cu130"),
        ("mslk_cuda-1.1.0-py3-none-any.whl", False, "mslk-cuda @ file://"),
    ],
)
def test_package_is_asked_for_by_the_name_that_its_index_has_for_it(
    tmp_path: Path, typed: str, from_nightly_index: bool, requirement: str
) -> None:
    make_wheel(tmp_path, "mslk_cuda", "1.1.0")
    override = resolve_override("mslk", typed, relative_to=tmp_path, from_nightly_index=from_nightly_index)
    assert (override.requirement or "").startswith(requirement)
    assert override.replaces_installed
    assert distributions_of(["mslk", "torch"]) == ["mslk-cuda", "mslk-cuda-nightly", "mslk", "torch"]


def test_overrides_become_the_options_that_ask_for_them_again(tmp_path: Path) -> None:
    options = ["--torchao", "0.17.0", "--diffusers", str(tmp_path / "my checkout")]
    (tmp_path / "my checkout").mkdir()
    (tmp_path / "my checkout" / "setup.py").touch()
    given_, _ = split_arguments([*options[:3], "../my checkout"])
    assert arguments_of([resolve_override(*one, relative_to=tmp_path / "x") for one in given_.items()]) == options


def test_pinned_stack_is_exact_and_stands_in_one_place() -> None:
    lines = pinned_requirements()
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+(; .*)?", line) for line in lines)
    assert len(lines) == len(pinned())
    assert set(overridable()) <= pinned().keys()


def test_package_under_another_name_is_replaced_and_left_to_the_nightly_index(tmp_path: Path) -> None:
    """Two distributions of mslk in one environment would write the same files."""
    pins = (*PINNED, "mslk-cuda==1.1.0; sys_platform == 'linux'", "triton==3.8.0")
    changed = released(pins, [resolve_override("mslk", "2026.4.21", relative_to=tmp_path)]).steps[0]
    assert [line for line in changed.requirements if "mslk" in line] == ["mslk-cuda-nightly==2026.4.21"]
    assert changed.replaced == ("mslk",)
    assert not changed.forced
    _, resting = nightly(pins, [], index=NIGHTLY_INDEX, today="2026-11-01", versions={}).steps
    assert resting.requirements == ("diffusers==0.42.1", "pytest==9.2.0")


def test_triton_follows_torch_until_it_is_chosen_itself(tmp_path: Path) -> None:
    pins = (*PINNED, "triton==3.8.0")
    torch, own = (resolve_override(*one, relative_to=tmp_path) for one in (("torch", "2.13.0"), ("triton", "3.9.0")))
    assert not any(line.startswith("triton") for line in released(pins, [torch]).steps[0].requirements)
    alone = released(pins, [own]).steps[0]
    assert "triton==3.9.0" in alone.requirements
    assert alone.forced == ("triton==3.9.0",)
    assert "torch==2.14.1" in alone.requirements
    assert released(pins, [torch, own]).steps[0].forced == ("triton==3.9.0",)
