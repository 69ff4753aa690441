"""A download that is cut off is gone on with; what arrives is what the index promised, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.stack.download import NotDownloaded, digest, download
from fixtures.stack.index import offered
from fixtures.stack.versions import Release, version_of
from fixtures.stack.wheels import PARTIAL, NoWheel, WheelCache
from tests.suite.index_stand_in import Index, serving
from tests.suite.tiny_wheels import make_wheel

NAME = "torchao-1.0-py3-none-any.whl"


@pytest.fixture
def index(tmp_path: Path) -> Index:
    folder = tmp_path / "offered"
    folder.mkdir()
    make_wheel(folder, "torchao", "1.0")
    return Index(folder=folder)


def release(address: str) -> Release:
    (file,) = offered("torchao", [address])
    version = version_of(file.filename)
    assert version is not None
    return Release(version=version, file=file)


def ranges(index: Index) -> list[str]:
    return [asked for name, asked in index.requests if name == NAME]


def test_cut_off_download_goes_on_where_it_stopped(tmp_path: Path, index: Index) -> None:
    index.cut[NAME] = 2
    size = (index.folder / NAME).stat().st_size
    with serving(index) as address:
        kept, found = WheelCache(tmp_path / "cache").fetch(release(address))
    assert found == digest(index.folder / NAME) == digest(kept)
    half = size // 2
    assert ranges(index) == ["", f"bytes={half}-", f"bytes={half + (size - half) // 2}-"]
    assert not [path for path in (tmp_path / "cache" / PARTIAL).iterdir() if path.suffix == ".whl"]


def test_server_that_cannot_go_on_sends_it_all_again(tmp_path: Path, index: Index) -> None:
    index.cut[NAME], index.ranges = 1, False
    with serving(index) as address:
        _, found = WheelCache(tmp_path / "cache").fetch(release(address))
    assert found == digest(index.folder / NAME)
    assert len(ranges(index)) == 2


def test_next_process_goes_on_with_what_a_killed_one_left(tmp_path: Path, index: Index) -> None:
    """Every try of the first is cut off; what it had is on the disk."""
    index.cut[NAME] = 4
    size = (index.folder / NAME).stat().st_size
    with serving(index) as address:
        with pytest.raises(NoWheel, match=rf"{NAME} could not be downloaded: only \d+ of {size} bytes arrived"):
            WheelCache(tmp_path / "cache").fetch(release(address))
        (left,) = [path for path in (tmp_path / "cache" / PARTIAL).iterdir() if path.suffix == ".whl"]
        have = left.stat().st_size
        assert 0 < have < size
        _, found = WheelCache(tmp_path / "cache").fetch(release(address))
    assert found == digest(index.folder / NAME)
    assert ranges(index)[-1] == f"bytes={have}-"


def test_silent_server_is_asked_again(tmp_path: Path, index: Index) -> None:
    index.silent[NAME] = 1
    with serving(index) as address:
        _, found = WheelCache(tmp_path / "cache", silence_s=0.5).fetch(release(address))
    assert found == digest(index.folder / NAME)


@pytest.mark.parametrize("speaks_json", [True, False])
def test_other_bytes_than_promised_are_thrown_away_and_fetched_again(
    tmp_path: Path, index: Index, speaks_json: bool
) -> None:
    index.wrong[NAME], index.speaks_json = 1, speaks_json
    with serving(index) as address:
        _, found = WheelCache(tmp_path / "cache").fetch(release(address))
        assert found == digest(index.folder / NAME)
        index.wrong[NAME] = 9
        with pytest.raises(NoWheel, match=r"its SHA-256 is [0-9a-f]{12}, the index promised"):
            WheelCache(tmp_path / "other").fetch(release(address))
    assert not list((tmp_path / "other").rglob("*.whl"))


def test_without_a_promise_nothing_of_an_earlier_process_is_trusted(tmp_path: Path, index: Index) -> None:
    index.hashes = False
    part = tmp_path / "part"
    with serving(index) as address:
        file = release(address).file
        part.write_bytes(b"of another file")
        download(file.url, part)
        assert digest(part) == digest(index.folder / NAME)
        index.cut[NAME] = 1  # this server tells nothing by which a changed file could be known
        download(file.url, part)
        assert digest(part) == digest(index.folder / NAME)
    assert ranges(index) == ["", "", ""]


def test_file_that_is_gone_is_not_asked_for_again(tmp_path: Path, index: Index) -> None:
    with serving(index) as address:
        gone = release(address)
        index.hidden.add("1.0")
        with pytest.raises(NoWheel, match="the server answered 404"):
            WheelCache(tmp_path / "cache").fetch(gone)
    assert len(ranges(index)) == 1


def test_server_that_is_away_is_named_in_the_reason(tmp_path: Path) -> None:
    with pytest.raises(NotDownloaded, match="refused"):
        download("http://127.0.0.1:9/x.whl", tmp_path / "x.whl")
