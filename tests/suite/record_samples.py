"""A run as the gate leaves it, made up from a seed: for tests of what is done with one, and to look at the report.

`python -m tests.suite.record_samples DIR` writes one and renders its report.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from fixtures.gates.base import Lines, Quantity, Rounds
from fixtures.gates.verdict import RED, Check, against, equals, errored, failed, settle, skipped
from fixtures.report.write import write_summaries
from fixtures.results.records import DeviceRecord, GateRecord, PictureRecord, RunHeader
from fixtures.results.run import RunFolder

Picture = npt.NDArray[np.uint8]

STACK = {
    "torch": "2.14.1+cpu",
    "torchao": "0.18.0",
    "diffusers": "0.42.1",
    "transformers": "5.23.0",
    "mslk": "absent",
}
DEVICE = DeviceRecord(key="cpu:AMD EPYC 9R14:avx512", name="AMD EPYC 9R14, 2 cores, avx512")
PROMPTS = (
    "a small red ring left on a striped blue background",
    "two green stars over a grey gradient",
    "a large yellow square behind a <thin> black triangle & a dot",
    "a violet disc, upper right, on a checkered white and orange background",
)
CASES = tuple(f"flux1-dev/{name}-tiny-bs{batch}-eager" for name in ("bf16", "mxfp8", "nvfp4") for batch in (1, 2))
_ERROR = {"bf16": 0.0, "mxfp8": 2.5, "nvfp4": 10.0}
_SQNR = {"mxfp8": 27.5, "nvfp4": 15.5}


def header(run: str, **changes: object) -> RunHeader:
    """The header of a CPU run."""
    fields = {
        "run": run,
        "started_at": "2026-11-22T16:40:00+00:00",
        "planned": 40,
        "command": ["nox", "-s", "gate"],
        "lane": "cpu",
        "machine": "cpu",
        "device": DEVICE,
        "stack": STACK,
        "metric": "lpips-alex",
        "cases": list(CASES),
        "gates": ["manifest", "memory", "arithmetic", "calls", "quality", "velocity", "compile", "digest", "speed"],
    }
    return RunHeader.model_validate({**fields, **changes})


def record(gate: str, case: str, checks: list[Check], **extra: object) -> GateRecord:
    """One line of the run: `checks` settled as the gate would."""
    judgement = settle(checks)
    red = judgement.verdict in RED
    fields = {
        "run": "sample",
        "case": case,
        "gate": gate,
        "verdict": judgement.verdict,
        "arithmetic": "emulated" if "bf16" not in case else "native",
        "metric": "lpips-alex",
        "message": judgement.message,
        "checks": checks,
        "seconds": {"measure": 0.4},
        "reproduce": ["nox", "-s", "gate", "--", "--case", case, "--gate", gate],
        "next": ["nox", "-s", "bisect", "--", "--case", case, "--gate", gate] if red else [],
    }
    return GateRecord.model_validate({**fields, **extra})


def write_run(root: Path, *, red: bool = True, killed: bool = False, run_id: str = "20261122T164000Z-5a3e") -> Path:
    """A whole run: six cases, nine gates. `red` breaks some of them; `killed` stops it half-way."""
    folder = RunFolder.create(root, run_id)
    folder.write_header(header(run_id))
    records = list(_records(folder, red=red))
    for line in records[: len(records) // 2] if killed else records:
        folder.append(line)
    if not killed:
        folder.finish()
    return folder.path


def _records(folder: RunFolder, *, red: bool) -> Iterator[GateRecord]:
    luck = random.Random(7)
    for case in CASES:
        fmt, batch = case.split("/")[1].split("-")[0], int(case.split("-bs")[1][0])
        if fmt != "bf16":
            yield from _structure(case, fmt, batch)
            yield _quality(folder, case, fmt, bad=red and case == CASES[4], luck=luck)
            yield _velocity(case, fmt, bad=red and case == CASES[4], luck=luck)
        yield record(
            "calls", case, [equals("denoiser calls", 16, 16, source="the pinned call")], seconds={"measure": 0.1}
        )
        if red and case == CASES[3]:
            gone = "torchao.prototype.mx_formats: cannot import name 'to_blocked' from 'torchao.prototype'"
            yield record("compile", case, [errored("graph breaks", gone)], seconds={"compile": 2.1})
        else:
            breaks = [equals("graph breaks", 0, 0), equals("recompiles", 0, 0)]
            yield record("compile", case, breaks, seconds={"compile": 9.4 + luck.random()})
        yield _digest(case, red=red)
        yield _speed(case, fmt, batch, red=red, luck=luck)


def _structure(case: str, fmt: str, batch: int) -> Iterator[GateRecord]:
    if batch != 1:
        return
    yield record("manifest", case, [equals("quantized Linears", 37, 37), equals("of the intended class", 37, 37)])
    saved = {"mxfp8": 4.012e6, "nvfp4": 5.956e6}[fmt]
    source = "parameters x (2 - bits/8)"
    yield record(
        "memory",
        case,
        [against("saved", saved, floor=saved * 0.991, ceiling=saved * 1.011, unit="bytes", source=source)],
        seconds={"load": 0.9, "quantize": 0.3},
    )
    floor = {"mxfp8": 25.0, "nvfp4": 15.0}[fmt]
    yield record(
        "arithmetic", case, [against("worst SQNR", floor + 2.31, floor=floor, unit="dB", source="torchao's own test")]
    )


def _quality(folder: RunFolder, case: str, fmt: str, *, bad: bool, luck: random.Random) -> GateRecord:
    ceiling = {"mxfp8": 0.04, "nvfp4": 0.16}[fmt]
    pictures, distances = [], []
    for index, prompt in enumerate(PROMPTS):
        names = [f"{case.replace('/', '-')}-{index}-{side}.png" for side in ("reference", "candidate", "heat")]
        reference = _scene(index)
        candidate = _disturbed(reference, _ERROR[fmt] * (3 if bad else 1), seed=index)
        distance = float(np.abs(reference.astype(float) - candidate).mean() / 38) + luck.random() * 0.004
        heat = np.abs(reference.astype(float) - candidate).mean(axis=2)
        for name, array in zip(names, (reference, candidate, _heated(heat)), strict=True):
            Image.fromarray(array).save(folder.pictures / name, optimize=True)
        distances.append(distance)
        reference_path, candidate_path, heat_path = (f"pictures/{name}" for name in names)
        pictures.append(
            PictureRecord(
                prompt=prompt,
                sides=("bf16", fmt),
                reference=reference_path,
                candidate=candidate_path,
                heat_map=heat_path,
                distance=distance,
                ceiling=ceiling * 1.8,
            )
        )
    source = "30 clean runs on three instruction sets, worst plus a quarter"
    mean = sum(distances) / len(distances)
    checks = [
        against("mean distance", mean, ceiling=ceiling, source=source),
        against("worst distance", max(distances), ceiling=ceiling * 1.8, source=source),
        against("another prompt's picture", 0.61, floor=ceiling * 2, source="control"),
        against("black frame", 0.78, floor=ceiling * 2, source="control"),
    ]
    return record("quality", case, checks, pictures=pictures, seconds={"measure": 3.2, "compare": 0.9})


def _velocity(case: str, fmt: str, *, bad: bool, luck: random.Random) -> GateRecord:
    base = _SQNR[fmt] - (6.0 if bad else 0.0)
    steps = [base + 2.5 * math.sin(step / 5) + luck.random() - 0.5 for step in range(16)]
    healthy = [_SQNR[fmt] + 2.5 * math.sin(step / 5) for step in range(16)]
    floor = _SQNR[fmt] - 2.9
    checks = [against("worst step", min(steps), floor=floor, unit="dB", source="30 clean runs, worst minus 1 dB")]
    title = "prediction against bf16's at each denoising step: signal over error, higher is closer"
    series = {"floor": [floor], "baseline": healthy, "measured": steps}
    drawn = Lines(title=title, by="step", unit="dB", series=series)
    result = {"per_step_db": steps}
    return record("velocity", case, checks, figures=[drawn], result=result, seconds={"measure": 1.1})


def _digest(case: str, *, red: bool) -> GateRecord:
    if case.endswith("bs2-eager"):
        return record("digest", case, [skipped("digest", "depends on the CPU model: recorded on Intel Xeon 8481C")])
    note = "moved: 3f9a1c02e7d4 was 9be00d5f6a11" if red and "nvfp4" in case else ""
    return record("digest", case, [equals("outputs hashed", 5, 5, note=note)], note=note)


def _speed(case: str, fmt: str, batch: int, *, red: bool, luck: random.Random) -> GateRecord:
    reference = [0.21 * batch * (1 + 0.05 * luck.expovariate(1)) for _ in range(24)]
    if fmt == "bf16":
        if red and batch == 2:
            missing = (
                "baselines/cpu/flux1-dev/bf16-tiny-bs2-eager.json is missing; record it: "
                'nox -s rebaseline -- flux1-dev/bf16-tiny-bs2-eager --reason "..."'
            )
            command = ["nox", "-s", "rebaseline", "--", case, "--reason", "..."]
            return record("speed", case, [failed("against baseline", missing)], next=command)
        return record("speed", case, [against("against baseline", 1.01, floor=0.9, unit="x", interval=(0.98, 1.03))])
    seconds = [value * 2.4 * (1 + 0.04 * luck.expovariate(1)) for value in reference]
    ratio = 1 / 2.5
    interval = (0.34, 0.43) if red and case == CASES[5] else (0.385, 0.41)
    floor = 0.36 if red and case == CASES[5] else 0.3
    checks = [
        against(
            "speedup",
            ratio,
            floor=floor,
            unit="x",
            interval=interval,
            source="cost of the emulation, its baseline less 15 %",
            note="emulated: no hardware speedup",
        )
    ]
    rounds = Rounds(title="seconds of every round", unit="s", series={"bf16": reference, fmt: seconds})
    device = Quantity(name="device speedup", value=0.41, unit="x")
    return record("speed", case, checks, figures=[rounds], quantities=[device], seconds={"measure": 12.5})


def _scene(index: int, side: int = 128) -> Picture:
    image = Image.new("RGB", (side * 4, side * 4))
    draw = ImageDraw.Draw(image)
    tones = [((30, 60, 160), (60, 110, 220)), ((90, 90, 95), (190, 190, 200)), ((235, 235, 230), (210, 215, 225))]
    low, high = (*tones, ((250, 250, 250), (240, 150, 60)))[index % 4]
    for row in range(side * 4):
        share = row / (side * 4) if index % 4 else (row // 40) % 2
        mixed = tuple(round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
        draw.line([(0, row), (side * 4, row)], fill=mixed)
    if index % 4 == 0:
        draw.ellipse([60, 120, 260, 320], outline=(220, 40, 40), width=44)
    elif index % 4 == 1:
        for x, y in ((150, 200), (350, 300)):
            points = [
                (x + r * math.sin(k * math.pi / 5), y - r * math.cos(k * math.pi / 5))
                for k, r in ((k, 90 if k % 2 == 0 else 38) for k in range(10))
            ]
            draw.polygon(points, fill=(40, 170, 80))
    elif index % 4 == 2:
        draw.rectangle([110, 110, 400, 400], fill=(240, 205, 50))
        draw.polygon([(256, 170), (380, 430), (130, 430)], fill=(20, 20, 20))
    else:
        draw.ellipse([280, 60, 470, 250], fill=(130, 60, 190))
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def _disturbed(picture: Picture, amount: float, *, seed: int) -> Picture:
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, amount, (16, 16, 3))
    field = np.asarray(
        [
            np.asarray(Image.fromarray(coarse[..., c].astype(np.float32)).resize((128, 128), Image.Resampling.BICUBIC))
            for c in range(3)
        ]
    ).transpose(1, 2, 0)
    edges = np.abs(np.gradient(picture.astype(float), axis=1)).mean(axis=2, keepdims=True) / 40
    disturbed: Picture = np.clip(picture + field * (0.6 + edges), 0, 255).astype(np.uint8)
    return disturbed


def _heated(heat: npt.NDArray[np.float64]) -> Picture:
    level = np.clip(heat / 40, 0, 1)
    heated: Picture = (np.stack([level**0.5, level**1.5, 0.35 * (1 - level)], axis=-1) * 255).astype(np.uint8)
    return heated


if __name__ == "__main__":
    print(write_summaries(write_run(Path(sys.argv[1])))[1])
