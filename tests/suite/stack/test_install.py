"""The installer's command line, and its output turned into progress and sentences."""

from __future__ import annotations

import re

import pytest

from fixtures.stack.install import Progress, explain, install_arguments, pip_has_own_index, tells_progress
from fixtures.stack.requirements import Step


def test_nightly_step_allows_prereleases_of_its_index_alone() -> None:
    step = Step(requirements=("torch",), index="https://host/nightly")
    assert install_arguments(step, uv=True) == [
        "--index-url", "https://host/nightly", "--upgrade", "--prerelease=allow", "torch",
    ]  # fmt: skip
    assert {"--pre", "--upgrade", "--index-url"} <= set(install_arguments(step, uv=False))


@pytest.mark.parametrize(
    ("pip_config", "variables", "expected"),
    [
        ("", {}, False),
        ("global.timeout='60'\n", {}, False),
        ("global.index-url='https://host/simple'\n", {}, True),
        (":env:.find-links='/wheels'\n", {}, True),
        ("global.index-url='https://host/simple'\n", {"UV_INDEX_URL": "https://host/simple"}, False),
    ],
)
def test_uv_is_left_out_where_only_pip_knows_the_index(
    pip_config: str, variables: dict[str, str], expected: bool
) -> None:
    assert pip_has_own_index(pip_config, variables) is expected


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            "ERROR: Could not find a version that satisfies the requirement torchao==9.9.9 (from versions: 0.18.0)",
            "torchao==9.9.9 does not exist for Python .* on this platform; the newest is 0.18.0",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement torch (from versions: none)\n",
            "torch cannot be installed: the package index offers it in no version for Python .*",
        ),
        (
            (
                "WARNING: Retrying after 'NewConnectionError: Failed to establish a new connection'\n"
                "ERROR: Could not find a version that satisfies the requirement torch (from versions: none)\n"
            ),
            "the package index cannot be reached",
        ),
        (
            (
                "ERROR: Cannot install torch==2.13.0 and torchvision==0.29.1 because these package versions have "
                "conflicting dependencies.\n"
            ),
            "Cannot install torch==2.13.0 and torchvision==0.29.1: their requirements conflict",
        ),
        (
            (
                "  x No solution found when resolving dependencies:\n  `-> Because there is no version of "
                "torchao==9.9.9 and you require torchao==9.9.9, your requirements are unsatisfiable.\n"
            ),
            "torchao==9.9.9 does not exist for Python .*",
        ),
        ("OSError: [Errno 28] No space left on device\n", "the disk is full; .*"),
        ("ERROR: x.whl is not a supported wheel on this platform.\n", "x.whl was built for another Python or platform"),
        ("ERROR: something new\n", "installation failed: something new"),
        ("", "installation failed without a word"),
    ],
)
def test_failed_installation_is_explained_in_one_sentence(output: str, sentence: str) -> None:
    assert re.fullmatch(sentence, explain(output))


def test_progress_says_what_the_installer_does() -> None:
    progress = Progress()
    seen = []
    for line in (
        "Collecting torch==2.14.1\n",
        "  Downloading torch-2.14.1-cp311-cp311-manylinux_2_28_x86_64.whl (530.1 MB)\n",
        "Progress 53010000 of 530100000\n",
        "Installing collected packages: a, b, c\n",
    ):
        progress.read(line)
        seen.append(progress.doing + progress.percent)
    assert seen == [
        "resolving torch==2.14.1",
        "downloading torch (530.1 MB)",
        "downloading torch (530.1 MB), 10 %",
        "unpacking 3 packages",
    ]


def test_old_pip_is_not_asked_to_tell_progress() -> None:
    assert not tells_progress("pip 23.2.1 from /usr/lib/python3/dist-packages/pip (python 3.11)\n")
    assert not tells_progress("pip 24.0 from x (python 3.11)")
    assert tells_progress("pip 24.1 from x (python 3.11)")
    assert tells_progress("pip 26.1 from x (python 3.11)")
