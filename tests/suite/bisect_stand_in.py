"""A small stand-in for the suite, for whole bisects of tiny wheels: what a wheel's `kind` says is what the gate says.

`python -m tests.suite.bisect_stand_in ROOT BASE ARGUMENTS` is a bisect of its own process, for tests that kill it.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from fixtures.bisect import __main__ as bisect
from fixtures.bisect.answer import Answer
from fixtures.bisect.environment import StackReading
from fixtures.bisect.probe import ProbeTools
from fixtures.stack.requirements import InstallStep
from tests.suite.tiny_wheels import make_wheel

CASE = "flux1-dev/nvfp4-tiny-bs1-eager"
SUITE = """
import json, os, pathlib, sys, time
import torchao
print(dict(os.environ))
out = pathlib.Path(sys.argv[sys.argv.index("--results") + 1]) / "latest"
gate = sys.argv[sys.argv.index("--gate") + 1]
out.mkdir(parents=True)
options = dict(zip(sys.argv, sys.argv[1:]))
if "--rebaseline" in sys.argv and "--baselines" in options:
    folder = pathlib.Path(options["--baselines"])
    folder.mkdir(exist_ok=True)
    (folder / torchao.version).touch()
with (pathlib.Path(__file__).parent / "asked").open("a") as asked:
    asked.write(torchao.version + "\\n")
with (pathlib.Path(__file__).parent / "cases").open("a") as cases:
    cases.write(options["--case"] + "\\n")
if torchao.kind == "bad at full size":
    torchao.kind = "bad" if "-hub-" in options["--case"] else "good"
if torchao.kind == "slow":
    time.sleep(3)
    torchao.kind = "good"
if torchao.kind == "hang":
    time.sleep(60)
if torchao.kind == "die":
    raise SystemExit("Error: something in C++")
verdict = {"good": "pass", "noisy": "pass", "bad": "fail"}.get(torchao.kind, torchao.kind)
value = 20.0 if verdict == "pass" else 9.5
if torchao.kind == "noisy":  # another number in every process
    value -= 0.1 * len((pathlib.Path(__file__).parent / "asked").read_text().split())
check = {"name": "sqnr", "verdict": verdict, "value": value, "floor": 12.0, "unit": "dB"}
record = {"schema": 2, "run": "x", "case": "c", "gate": gate, "verdict": verdict, "arithmetic": "emulated",
          "message": "told", "checks": [check], "result": {"digest": torchao.kind} if gate == "digest" else {},
          "reproduce": ["r"]}
(out / "records.jsonl").write_text(json.dumps(record) + "\\n")
"""


def stand_in_for_the_suite(root: Path, base: Path) -> ProbeTools:
    """Probes run `root/pytest.py` (because the working folder has one, `python -m pytest` is that) in copies of
    `base`."""
    root.mkdir(exist_ok=True)
    (root / "pytest.py").write_text(SUITE)
    return ProbeTools(suite=root, base=base, install=unpack, stack_of=lambda _: StackReading())


def unpack(step: InstallStep, *, python: Path, log: Path, extra: Sequence[str] = ()) -> None:
    """Installing a tiny wheel is unpacking it, and a checkout one file. pip itself is in
    `test_environment_differs_only_in_what_moved`."""
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    for folder in step.checkouts:
        shutil.copy(Path(folder) / "torchao.py", site)
    for requirement in step.requirements:
        name, _, address = requirement.partition(" @ ")
        if not address:
            continue  # setuptools and wheel, for a checkout
        for old in (*site.glob(f"{name}-*"), *site.glob(f"{name}.py")):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        with zipfile.ZipFile(url2pathname(urlsplit(address).path)) as wheel:
            wheel.extractall(site)


def wheels(folder: Path, kinds: Mapping[str, str]) -> Path:
    """A folder with a wheel of torchao for each version, of a kind each."""
    folder.mkdir(exist_ok=True)
    for version, kind in kinds.items():
        make_wheel(folder, "torchao", version, f"version, kind = {version!r}, {kind!r}\n")
    return folder


def asked(tools: ProbeTools) -> list[str]:
    """The versions that probes measured, in order."""
    return (tools.suite / "asked").read_text().split()


def cases(tools: ProbeTools) -> list[str]:
    """The cases that probes drew, in order, recordings included."""
    return (tools.suite / "cases").read_text().split()


def run(
    tmp_path: Path,
    index: Path,
    tools: ProbeTools,
    *arguments: str,
    gate: str = "velocity",
    case: str = CASE,
    **more: Any,
) -> tuple[int, Answer]:
    """A whole bisect in this process: its exit code, and the answer that it left."""
    kept = ["--index", str(index), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    code = bisect.main(["--case", case, "--gate", gate, *kept, *arguments], tools=tools, **more)
    return code, Answer.model_validate_json((tmp_path / "out" / "bisect.json").read_text())


if __name__ == "__main__":
    sys.exit(bisect.main(sys.argv[3:], tools=stand_in_for_the_suite(Path(sys.argv[1]), Path(sys.argv[2]))))
