"""Makes every process of a run one on a simulated B200: Python imports this first where this folder leads PYTHONPATH.

`SIMULATED_HOST` names the JSON file that describes the host (tests/suite/b200/host.py writes it). Nothing of the suite
is replaced: torch answers as on CUDA (silicon.py), NVML is the `pynvml` beside this file, and mslk's kernel runs as
torch's code (quantizer.py).
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

sys.path.append(str(Path(__file__).resolve().parents[4]))
HOST = json.loads(Path(os.environ["SIMULATED_HOST"]).read_text(encoding="utf-8"))


class _After(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Runs something once a module was imported by whoever imports it first."""

    def __init__(self, then: dict[str, list[Callable[[ModuleType], object]]]) -> None:
        self._then = then
        self._loaders: dict[str, importlib.abc.Loader] = {}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self._then or name in self._loaders:
            return None
        self._loaders[name] = self  # the look-up below comes by here again
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            del self._loaders[name]
            return None
        self._loaders[name], spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loaders[spec.name].create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        module.__loader__ = self._loaders[name]
        if module.__spec__ is not None:
            module.__spec__.loader = self._loaders[name]
        self._loaders[name].exec_module(module)
        for follow in self._then[name]:
            follow(module)


def _planted(code: str) -> Callable[[ModuleType], object]:
    return lambda module: exec(code, vars(module))


def _silicon(torch: ModuleType) -> None:
    from tests.suite.b200 import silicon

    silicon.install(HOST)


def _quantizer(module: ModuleType) -> None:
    from tests.suite.b200 import quantizer

    quantizer.install(module)


if HOST["disk_free_bytes"] is not None:
    disk = shutil.disk_usage("/")._replace(free=HOST["disk_free_bytes"])
    shutil.disk_usage = lambda path: disk

then: dict[str, list[Callable[[ModuleType], object]]] = {}
# Code is generated in processes of its own, which use no GPU: there torch is what it is.
if HOST["gpus"] and "--multiprocessing-fork" not in sys.orig_argv:
    then["torch"] = [_silicon]
    then["mslk.quantize.triton.fp4_quantize"] = [_quantizer]
for plant in HOST["planted"]:
    then.setdefault(plant["after"], []).append(_planted(plant["code"]))
for file in (Path(sysconfig.get_path("purelib")) / "simulated_nightly").glob("*/*.py"):
    then.setdefault(file.stem, []).append(_planted(file.read_text(encoding="utf-8")))
sys.meta_path.insert(0, _After(then))

from tests.suite.b200 import clock, published  # noqa: E402  the standard library and the catalog's data alone

clock.install()
published.install()
