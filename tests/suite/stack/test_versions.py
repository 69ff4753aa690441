"""Which versions a bisect may use: order, nightlies, dates, and every reason for which a wheel is left out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from fixtures.stack.download import digest
from fixtures.stack.index import IndexSilent, offered
from fixtures.stack.versions import Here, IndexFile, NoSuchVersion, Release, find, of_one_build, usable, wanted
from tests.suite.index_stand_in import Index, serving
from tests.suite.tiny_wheels import make_wheel

HERE = Here(tags=["cp311-cp311-manylinux_2_28_x86_64", "cp311-none-any", "py3-none-any"], python="3.11.7", cuda=None)
GPU = Here(tags=HERE.tags, python="3.11.7", cuda=130)


def wheel(version: str, tag: str = "py3-none-any", **fields: Any) -> IndexFile:
    name = f"torchao-{version}-{tag}.whl"
    return IndexFile(filename=name, url=f"https://host/{name}", **fields)


def test_each_version_is_served_by_its_best_wheel_in_the_order_of_versions() -> None:
    files = [
        wheel("0.18.0"),
        wheel("0.9.0"),
        wheel("0.18.0", "cp311-cp311-manylinux_2_28_x86_64"),
        wheel("0.17.0rc1"),
    ]
    releases, left_out = usable(files, HERE)
    assert [str(release.version) for release in releases] == ["0.9.0", "0.17.0rc1", "0.18.0"]
    assert "manylinux" in releases[-1].file.filename
    assert not left_out
    assert [str(release.version) for release in wanted(releases, nightlies=False)] == ["0.9.0", "0.18.0"]


@pytest.mark.parametrize(
    ("file", "here", "reason"),
    [
        (wheel("1.0", yanked="bad build"), HERE, "yanked: bad build"),
        (wheel("1.0", yanked=""), HERE, "yanked"),
        (wheel("1.0", "cp39-cp39-manylinux_2_28_x86_64"), HERE, "built for cp39-cp39-manylinux_2_28_x86_64, not for"),
        (wheel("1.0", "cp311-cp311-win_amd64"), HERE, "not for this Python and platform"),
        (wheel("1.0", requires_python=">=3.12"), HERE, "wants Python >=3.12, and this is 3.11.7"),
        (wheel("1.0", requires_python="three"), HERE, "unreadable"),
        (wheel("1.0+cu132"), GPU, "built for CUDA 13.2, and the driver runs 13.0"),
        (wheel("1.0+cpu"), GPU, "built without CUDA"),
        (wheel("1.0+rocm6.4"), HERE, "built for rocm6.4"),
        (IndexFile(filename="torchao-1.0.tar.gz", url="https://host/x"), HERE, "no wheel, only source"),
    ],
)
def test_wheels_that_cannot_serve_are_left_out_with_a_reason(file: IndexFile, here: Here, reason: str) -> None:
    releases, left_out = usable([file], here)
    assert not releases
    assert reason in left_out[0].reason


def test_a_build_without_cuda_is_preferred_where_there_is_no_gpu() -> None:
    both = [wheel("2.13.0"), wheel("2.13.0+cpu"), wheel("2.13.0+cu130")]
    assert [str(release.version) for release in usable(both, HERE)[0]] == ["2.13.0+cpu"]
    assert [str(release.version) for release in usable(both, GPU)[0]] == ["2.13.0"]


def builds(releases: Sequence[Release], *ends: str, partners: Collection[str] | None = None) -> list[str]:
    return [str(release.version) for release in of_one_build(releases, ends, partners)]


def test_versions_between_two_ends_are_of_one_build_as_far_as_they_can() -> None:
    files = [wheel("2.13.0+cpu"), wheel("2.13.0"), wheel("2.14.0"), wheel("2.15.0+cpu")]
    releases, _ = usable([*files, wheel("2.15.0"), wheel("2.16.0")], HERE)
    assert builds(releases) == ["2.13.0", "2.14.0", "2.15.0", "2.16.0"]
    assert builds(releases, "2.13.0+cpu", "2.16.0") == ["2.13.0+cpu", "2.14.0", "2.15.0+cpu", "2.16.0"]
    assert find(releases, "2.13.0+cpu", "torch") == 0
    two = [releases[0], releases[2]]
    assert builds(two) == ["2.13.0+cpu", "2.15.0+cpu"]
    assert builds(two, partners={"cu130"}) == ["2.13.0", "2.15.0"]
    assert builds(two, partners={"cpu"}) == ["2.13.0+cpu", "2.15.0+cpu"]


def test_ends_are_versions_or_dates_and_the_sentence_says_what_there_is() -> None:
    nightlies = [wheel(f"0.19.0.dev202610{day:02d}+cu130") for day in (1, 2, 5)]
    old = wheel("0.17.0", uploaded="2026-03-30T10:00:00Z")
    releases, left_out = usable([*nightlies, old, wheel("0.16.0", yanked="broken", uploaded="2026-01-01")], HERE)
    assert releases[find(releases, "2026-10-04", "torchao")].version.dev == 20261002
    assert releases[find(releases, "2026-04-01", "torchao")].version.minor == 17
    assert releases[find(releases, "0.19.0.dev20261005", "torchao")].version.dev == 20261005
    with pytest.raises(NoSuchVersion, match=r"0\.16\.0: left out, yanked: broken; the newest are .*0\.17\.0"):
        find(releases, "0.16.0", "torchao", left_out)
    with pytest.raises(NoSuchVersion, match="not offered here"):
        find(releases, "9.9", "torchao")
    with pytest.raises(NoSuchVersion, match="neither a version nor a date"):
        find(releases, "newer", "torchao")
    with pytest.raises(NoSuchVersion, match="no wheel of that day or before"):
        find(releases, "2020-01-01", "torchao")


def test_nightly_of_another_month_is_not_taken_for_the_one_of_a_day() -> None:
    releases, _ = usable([wheel("0.19.0.dev20260901")], HERE)
    assert find(releases, "2026-09-08", "torchao") == 0
    with pytest.raises(NoSuchVersion, match=r"the newest nightly .*dev20260901, 87 days older; name"):
        find(releases, "2026-11-27", "torchao")


def test_index_with_wheels_of_another_architecture_only_says_so() -> None:
    releases, left_out = usable([wheel("0.19.0.dev20260901", "cp311-cp311-linux_aarch64")], HERE)
    with pytest.raises(NoSuchVersion, match=r"usable wheel; .* is left out: built for cp311-cp311-linux_aarch64"):
        find(releases, "2026-09-08", "torchao", left_out)


@pytest.mark.parametrize("speaks_json", [True, False])
def test_both_kinds_of_index_page_are_read(tmp_path: Path, speaks_json: bool) -> None:
    wheels = [make_wheel(tmp_path, "torchao", version) for version in ("1.0", "1.1+cpu")]
    index = Index(folder=tmp_path, speaks_json=speaks_json, yanked={wheels[1].name: "oops"})
    with serving(index) as address:
        first, second = offered("torchao", [address])
        assert offered("diffusers", [address]) == []
    assert (first.filename, first.yanked, first.sha256) == (wheels[0].name, None, digest(wheels[0]))
    assert (second.filename, second.yanked) == ("torchao-1.1+cpu-py3-none-any.whl", "oops")
    assert first.url == f"{address.removesuffix('/simple')}/files/{wheels[0].name}"


def test_index_that_hangs_once_is_asked_again_and_one_that_stays_silent_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path, "torchao", "1.0")
    monkeypatch.setattr("fixtures.stack.index.ANSWER_S", 0.5)
    index = Index(folder=tmp_path)
    index.silent["torchao/"] = 1
    with serving(index) as address:
        assert [file.filename for file in offered("torchao", [address])] == [wheel.name]
        index.silent["torchao/"] = 2
        with pytest.raises(IndexSilent, match=f"the package index at {address}/torchao/ cannot be read"):
            offered("torchao", [address])


def test_folders_of_wheels_and_folders_laid_out_as_an_index_are_read(tmp_path: Path) -> None:
    flat, laid = tmp_path / "flat", tmp_path / "laid"
    (laid / "torchao").mkdir(parents=True)
    flat.mkdir()
    make_wheel(flat, "torchao", "1.0")
    make_wheel(flat, "torch", "2.0")
    make_wheel(laid / "torchao", "torchao", "1.1")
    (laid / "torchao" / "index.html").write_text('<a href="torchao-1.1-py3-none-any.whl" data-yanked="">w</a>')
    files = offered("torchao", [str(flat), laid.as_uri(), str(tmp_path / "nowhere")])
    assert [(file.filename, file.yanked) for file in files] == [
        ("torchao-1.0-py3-none-any.whl", None),
        ("torchao-1.1-py3-none-any.whl", ""),
    ]
