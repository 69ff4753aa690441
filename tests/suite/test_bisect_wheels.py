"""The wheel cache: what arrives is whole or nothing, what is kept is kept by content, and the limit holds."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from packaging.version import Version

from fixtures.bisect.download import digest as sha256
from fixtures.bisect.index import offered
from fixtures.bisect.keep import keep
from fixtures.bisect.versions import IndexFile, Release
from fixtures.bisect.wheels import PARTIAL, PARTIAL_KEPT_S, NoWheel, WheelCache, merged
from tests.suite.test_bisect_versions import served
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


def test_index_that_serves_a_truncated_wheel_makes_no_wheel(tmp_path: Path) -> None:
    folder = tmp_path / "index" / "torchao"
    folder.mkdir(parents=True)
    path = make_wheel(folder, "torchao", "1.0")
    digest = sha256(path)
    with served(tmp_path / "index") as address:
        (file,) = offered("torchao", [address])
        cache = WheelCache(tmp_path / "cache")
        kept, _ = cache.fetch(Release(version=Version("1.0"), file=file))
        assert sha256(kept) == digest
        path.write_bytes(path.read_bytes()[:200])
        promised = IndexFile(filename=file.filename, url=file.url, sha256="0" * 64)
        with pytest.raises(NoWheel, match=r"could not be downloaded: .*(SHA-256|index promised)"):
            cache.fetch(Release(version=Version("1.0"), file=promised))
        with pytest.raises(NoWheel, match=r"damaged|could not be downloaded"):
            cache.fetch(Release(version=Version("1.0"), file=file))


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
    later.keep.add(paths[0].parent.name)
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


def test_installed_nightlies_are_kept_and_releases_are_not(tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.mkdir()
    make_wheel(index, "torchao", "0.19.0.dev20261101")
    make_wheel(index, "torch", "2.14.1")
    cache = WheelCache(tmp_path / "cache")
    versions = {"torchao": "0.19.0.dev20261101", "torch": "2.14.1", "mslk": "2026.11.1.dev20261101"}
    (trouble,) = keep(versions, str(index), cache)
    assert "mslk=2026.11.1.dev20261101: not offered here" in trouble
    assert [file.filename for file in cache.offered("torchao")] == ["torchao-0.19.0.dev20261101-py3-none-any.whl"]
    assert not cache.offered("torch")
