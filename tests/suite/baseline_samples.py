"""Baselines for tests: small, whole and believable."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from fixtures.results.baseline import Baseline, baseline_type, path_of
from fixtures.results.records import DeviceRecord
from fixtures.results.store import save_atomic

CASE = "flux1-dev/nvfp4-tiny-bs1-eager"
RECIPE = "ab" * 32
OTHER_RECIPE = "cd" * 32
HERE = DeviceRecord(key="cpu:AMD EPYC 9R14", name="AMD EPYC 9R14")
ELSEWHERE = DeviceRecord(key="cpu:Intel Xeon 8481C", name="Intel Xeon 8481C")
SPEED = {"seconds": [0.5, 0.6], "reference_seconds": [0.2, 0.25], "ratio": 0.41, "interval": [0.4, 0.42]}
FASTER = {"seconds": [0.4], "reference_seconds": [0.2], "ratio": 0.5, "interval": [0.45, 0.55]}


def quality(metric: str = "lpips-alex") -> dict[str, Any]:
    """Two prompts' distances."""
    return {
        "metric": metric,
        "net": "alex",
        "size": [128, 128],
        "seed": 0,
        "prompts": ["a ring", "two stars"],
        "per_prompt": [0.11, 0.13],
        "controls": {"black frame": 0.8},
    }


SECTIONS: dict[str, Any] = {
    "manifest": {"tensor_class": "NVFP4Tensor", "linears": ["blocks.0.to_q", "blocks.0.to_k"]},
    "quality": {"lpips-alex": quality()},
    "velocity": {"per_step_db": [15.5, 16.1, 17.0]},
    "speed": SPEED,
    "memory": {"saved_bytes": 5_956_000, "peak_bytes": 40_000_000},
    "digest": {"sha256": {"picture 0": "12" * 32}},
}


def baseline(*, only: str = "", **changes: Any) -> Baseline:
    """A baseline with every section but the pictures, or with the section `only`; `changes` are fields as JSON has
    them, None for one that is not there."""
    fields: dict[str, Any] = {
        "schema": 1,
        "case": CASE,
        "reason": "first recording",
        "recorded_at": "2026-11-22T16:40:00+00:00",
        "recipe": RECIPE,
        "device": HERE.model_dump(exclude_none=True),
        "stack": {"torch": "2.14.1", "torchao": "0.18.0"},
        **{name: section for name, section in SECTIONS.items() if only in ("", name)},
        **changes,
    }
    told = {name: value for name, value in fields.items() if value is not None}
    return baseline_type().model_validate_json(json.dumps(told))


def pictures(stem: str, count: int = 2, *, shade: int = 90) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The section that names plain pictures of different tones, and their files."""
    files = {}
    for index in range(count):
        stream = io.BytesIO()
        Image.new("RGB", (16, 12), (shade, 10 * index, 30)).save(stream, "PNG")
        files[f"{stem}-{index}.png"] = stream.getvalue()
    named = [
        {"file": name, "sha256": hashlib.sha256(data).hexdigest(), "prompt": f"prompt {name}"}
        for name, data in files.items()
    ]
    return {"dtype": "float32", "size": [12, 16], "seed": 0, "pictures": named}, files


def saved(root: Path, record: Baseline | None = None) -> Path:
    """A baseline on the disk; its path."""
    record = record or baseline()
    path = path_of(root, "cpu", record.case)
    save_atomic(path, record)
    return path


def saved_with_pictures(root: Path, *, shade: int = 90) -> tuple[Path, Baseline]:
    """A baseline with two reference pictures on the disk."""
    path = path_of(root, "cpu", CASE)
    reference, files = pictures(path.stem, shade=shade)
    record = baseline(reference=reference)
    save_atomic(path, record, files)
    return path, record


def contents(root: Path) -> dict[str, bytes]:
    """Every file below `root`."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
