"""Baselines for tests: small, whole and believable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from fixtures.results.baseline import Baseline, path_of
from fixtures.results.schema import DeviceRecord
from fixtures.results.sections import Digest, Manifest, Memory, Quality, Speed, Velocity
from fixtures.results.store import save_atomic, store_pictures

CASE = "flux1-dev/nvfp4-tiny-bs1-eager"
RECIPE = "ab" * 32
OTHER_RECIPE = "cd" * 32
HERE = DeviceRecord(key="cpu:AMD EPYC 9R14", name="AMD EPYC 9R14")
ELSEWHERE = DeviceRecord(key="cpu:Intel Xeon 8481C", name="Intel Xeon 8481C")


def quality(metric: str = "lpips-alex") -> Quality:
    """Two prompts' distances."""
    return Quality(
        metric=metric,
        net="alex",
        size=[128, 128],
        seed=0,
        prompts=["a ring", "two stars"],
        per_prompt=[0.11, 0.13],
        controls={"black frame": 0.8},
    )


def baseline(**changes: Any) -> Baseline:
    """A baseline with every section but the pictures."""
    fields: dict[str, Any] = {
        "schema": 1,
        "case": CASE,
        "reason": "first recording",
        "recorded_at": "2026-11-22T16:40:00+00:00",
        "recipe": RECIPE,
        "device": HERE,
        "stack": {"torch": "2.14.1", "torchao": "0.18.0"},
        "manifest": Manifest(tensor_class="NVFP4Tensor", linears=["blocks.0.to_q", "blocks.0.to_k"]),
        "quality": {"lpips-alex": quality()},
        "velocity": Velocity(per_step_db=[15.5, 16.1, 17.0]),
        "speed": Speed(seconds=[0.5, 0.6], reference_seconds=[0.2, 0.25], ratio=0.41, interval=[0.4, 0.42]),
        "memory": Memory(saved_bytes=5_956_000, peak_bytes=40_000_000),
        "digest": Digest(sha256={"picture 0": "12" * 32}),
    }
    return Baseline.model_validate({**fields, **changes})


def images(count: int = 2, *, shade: int = 90) -> list[Image.Image]:
    """Plain pictures of different tones."""
    return [Image.new("RGB", (16, 12), (shade, 10 * index, 30)) for index in range(count)]


def saved(root: Path, record: Baseline | None = None) -> Path:
    """A baseline on the disk; its path."""
    record = record or baseline()
    path = path_of(root, "cpu", record.case)
    save_atomic(path, record)
    return path


def saved_with_pictures(root: Path, *, shade: int = 90) -> tuple[Path, Baseline]:
    """A baseline with two reference pictures on the disk."""
    path = path_of(root, "cpu", CASE)
    reference, files = store_pictures(
        path, images(shade=shade), prompts=["a ring", "two stars"], dtype="float32", seed=0
    )
    record = baseline(reference=reference)
    save_atomic(path, record, files)
    return path, record


def contents(root: Path) -> dict[str, bytes]:
    """Every file below `root`."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
