"""The wheel cache: what arrives is whole or nothing, what is kept is kept by content, and the limit holds."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from packaging.version import Version

from fixtures.stack import cache_installed
from fixtures.stack.cache_installed import Wanted, fetch, in_use, not_cached
from fixtures.stack.download import digest as sha256
from fixtures.stack.finder import WheelFinder
from fixtures.stack.index import offered
from fixtures.stack.versions import Here, IndexFile, Release
from fixtures.stack.wheels import PARTIAL, PARTIAL_KEPT_S, NoWheel, WheelCache, merged
from tests.suite.index_stand_in import Index, serving
from tests.suite.tiny_wheels import make_wheel


def release_of(path: Path, sha256: str = "") -> Release:
    file = IndexFile(filename=path.name, url=path.as_uri(), sha256=sha256)
    return Release(version=Version(path.name.split("-")[1]), file=file)


def test_a_wheel_that_left_its_source_is_still_served(tmp_path: Path) -> None:
    source = tmp_path / "wheels"
    source.mkdir()
    path = make_wheel(source, "torchao", "1.0.dev20261001")
    cache = WheelCache(tmp_path / "cache")
    kept, digest = cache.fetch(release_of(path))
    path.unlink()
    assert offered("torchao", [str(source)]) == []
    (file,) = merged([], cache.offered("torchao"))
    assert cache.fetch(Release(version=Version("1.0.dev20261001"), file=file)) == (kept, digest)
    assert digest == sha256(kept)


def test_truncated_and_exchanged_wheels_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "torchao", "1.0")
    whole = path.read_bytes()
    cache = WheelCache(tmp_path / "cache")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NoWheel, match=r"torchao-1\.0-py3-none-any\.whl is damaged: \d+ bytes"):
        cache.fetch(release_of(path))
    path.write_bytes(whole)
    with pytest.raises(NoWheel, match="the index says abcdef"):
        cache.fetch(release_of(path, sha256="abcdef" * 10))
    assert not [path for path in (tmp_path / "cache").rglob("*.whl") if path.is_file()]
    path.unlink()
    with pytest.raises(NoWheel, match="is gone from"):
        cache.fetch(release_of(path))


def test_package_is_found_under_every_name_that_its_distribution_has(tmp_path: Path) -> None:
    """PyPI's own mslk is an empty 0.0.0."""
    offers = tmp_path / "offers"
    offers.mkdir()
    for name, version in (("mslk_cuda", "1.1.0"), ("mslk_cuda_nightly", "2026.4.21"), ("mslk", "0.0.0")):
        make_wheel(offers, name, version)
    cache = WheelCache(tmp_path / "cache")
    with serving(Index(folder=offers)) as address:
        finder = WheelFinder(sources=[address], cache=cache, here=HERE)
        named = {finder.one("mslk", text).file.filename.split("-")[0] for text in ("1.1.0", "2026-04-25")}
        cache.fetch(finder.one("mslk", "1.1.0"))
    assert named == {"mslk_cuda", "mslk_cuda_nightly"}
    assert not not_cached([Wanted(package="mslk", version="1.1.0")], cache)


def test_damage_on_this_disk_is_noticed_and_mended(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "torchao", "1.0")
    cache = WheelCache(tmp_path / "cache")
    release = release_of(path, sha256=sha256(path))
    kept, digest = cache.fetch(release)
    kept.write_bytes(b"half")
    assert cache.fetch(release) == (kept, digest)
    assert sha256(kept) == digest


def test_limit_removes_what_was_unused_longest_and_never_what_is_in_use(tmp_path: Path) -> None:
    cache = WheelCache(tmp_path / "cache")
    paths = [cache.fetch(release_of(make_wheel(tmp_path, "torchao", f"{number}.0")))[0] for number in (1, 2, 3)]
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (time.time() - 100 * age - 50,) * 2)
    later = WheelCache(tmp_path / "cache", limit_bytes=paths[0].stat().st_size * 2)
    later.in_use.add(paths[0].parent.name)
    assert later.shrink() == [paths[1].name]
    assert [path.exists() for path in paths] == [True, False, True]


def test_remains_of_killed_downloads_wait_a_week_to_be_gone_on_with(tmp_path: Path) -> None:
    remains = tmp_path / "cache" / PARTIAL / "x.whl"
    remains.parent.mkdir(parents=True)
    remains.write_bytes(b"half")
    cache = WheelCache(tmp_path / "cache")
    cache.shrink()
    assert remains.exists()
    os.utime(remains, (time.time() - PARTIAL_KEPT_S - 100,) * 2)
    cache.shrink()
    assert not remains.exists()


HERE = Here(tags=["py3-none-any"], python="3.11.7", cuda=None)


def test_installed_wheels_are_kept_once_and_what_cannot_be_had_is_said(tmp_path: Path) -> None:
    offers = tmp_path / "offers"
    offers.mkdir()
    for version in ("0.19.0.dev20261101", "0.18.0"):
        make_wheel(offers, "torchao", version)
    for version in ("2.14.1", "2.14.1+cpu"):
        make_wheel(offers, "torch", version)
    own = make_wheel(tmp_path, "diffusers", "0.43.0.dev0")
    wheels = [
        Wanted(package="torchao", version="0.19.0.dev20261101"),
        Wanted(package="torch", version="2.14.1"),
        Wanted(package="mslk", version="2026.11.1.dev20261101"),
        Wanted(package="diffusers", version="0.43.0.dev0", url=own.as_uri()),
    ]
    cache = WheelCache(tmp_path / "cache")
    with serving(Index(folder=offers)) as address:
        finder = WheelFinder(sources=[address], cache=cache, here=HERE)
        (trouble,) = fetch(not_cached(wheels, cache), finder)
    assert "mslk=2026.11.1.dev20261101: not offered here" in trouble
    kept = {path.name for path in (tmp_path / "cache").glob("*/*.whl")}
    assert kept == {"torchao-0.19.0.dev20261101-py3-none-any.whl", "torch-2.14.1-py3-none-any.whl", own.name}
    assert [one.package for one in not_cached(wheels, cache)] == ["mslk"]


def test_silent_index_is_asked_once_and_fails_nothing(tmp_path: Path) -> None:
    index = Index(folder=tmp_path)
    index.silent["torch/"] = index.silent["torchao/"] = 9
    wheels = [Wanted(package=name, version="1.0") for name in ("torch", "torchao")]
    cache = WheelCache(tmp_path / "cache")
    with pytest.MonkeyPatch.context() as patch, serving(index) as address:
        patch.setattr("fixtures.stack.index.ANSWER_S", 0.2)
        (trouble,) = fetch(wheels, WheelFinder(sources=[address], cache=cache, here=HERE))
    assert trouble.startswith("wheels are not kept for later bisects: the package index at")
    assert {name for name, _ in index.requests} == {"torch/"}


def test_what_is_kept_costs_no_network_and_a_cache_that_cannot_be_written_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = make_wheel(tmp_path, "torchao", "1.0")
    monkeypatch.setattr("fixtures.stack.cache_installed.in_use", lambda: [Wanted(package="torchao", version="1.0")])
    monkeypatch.setattr("fixtures.stack.cache_installed.configured_sources", lambda: [str(tmp_path)])
    assert cache_installed.main(["--cache", str(tmp_path / "cache")]) == 0
    assert [path.name for path in (tmp_path / "cache").glob("*/*.whl")] == [wheel.name]

    def never() -> list[str]:
        raise AssertionError("the network was asked for what is kept")

    monkeypatch.setattr("fixtures.stack.cache_installed.configured_sources", never)
    assert cache_installed.main(["--cache", str(tmp_path / "cache")]) == 0
    monkeypatch.setattr("fixtures.stack.cache_installed.configured_sources", lambda: [str(tmp_path)])
    (tmp_path / "file").touch()
    assert cache_installed.main(["--cache", str(tmp_path / "file")]) == 0
    assert "nothing is kept for later bisects" in capsys.readouterr().err


def test_what_is_installed_here_has_wheels() -> None:
    assert {"torch", "torchao", "diffusers"} <= {one.package for one in in_use()}
