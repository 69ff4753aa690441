"""Weights of the right size and wrong bytes are found, once, by the hash that the hub's cache names them by."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fixtures.pipelines.blobs import wrong_bytes

SMALL, LARGE = b"{}\n", bytes(1000)


def cache(storage: Path, contents: dict[str, tuple[str, bytes]]) -> Path:
    """A snapshot: path -> (name of its blob, bytes)."""
    for path, (name, data) in contents.items():
        blob = storage / "blobs" / name
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        link = storage / "snapshots" / "main" / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    return storage / "snapshots" / "main"


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A small file named as git does and a large one named by its SHA-256."""
    git = hashlib.sha1(b"blob %d\0" % len(SMALL) + SMALL, usedforsecurity=False).hexdigest()
    return cache(
        tmp_path / "repo",
        {"config.json": (git, SMALL), "vae/model.safetensors": (hashlib.sha256(LARGE).hexdigest(), LARGE)},
    )


def test_right_bytes_are_hashed_once(snapshot: Path, tmp_path: Path) -> None:
    told: list[str] = []
    assert wrong_bytes(snapshot, memory=tmp_path / "notes", progress=told.append) is None
    assert len(told) == 2
    assert wrong_bytes(snapshot, memory=tmp_path / "notes", progress=told.append) is None
    assert len(told) == 2, "nothing is read again"


@pytest.mark.parametrize("name", ["config.json", "vae/model.safetensors"])
def test_other_bytes_of_the_same_size_are_named_even_after_they_were_right(
    snapshot: Path, tmp_path: Path, name: str
) -> None:
    assert wrong_bytes(snapshot, memory=tmp_path / "notes") is None
    blob = (snapshot / name).resolve()
    size = blob.stat().st_size
    blob.write_bytes(b"x" * size)
    os.utime(blob, (1, 1))
    for _ in range(2):  # what is wrong is never remembered
        assert wrong_bytes(snapshot, memory=tmp_path / "notes") == snapshot / name


def test_a_memory_that_cannot_be_written_costs_nothing_else(snapshot: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("a file is in the way")
    assert wrong_bytes(snapshot, memory=tmp_path / "notes") is None


def test_files_that_no_hash_names_are_left_alone(tmp_path: Path) -> None:
    snapshot = cache(tmp_path / "repo", {"config.json": ("plain", SMALL)})
    (snapshot / "copied.json").write_text("{}")
    assert wrong_bytes(snapshot, memory=tmp_path / "notes") is None
