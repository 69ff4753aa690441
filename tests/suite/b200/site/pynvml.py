"""NVML of a simulated host: answers from the file that `SIMULATED_HOST` names, read anew for every question."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.suite.b200.clock import CLOCK

WATTS = 700
LIMIT_MILLIWATTS = 1_000_000


class NVMLError(Exception):
    """What NVML says no with."""


def _host() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(os.environ["SIMULATED_HOST"]).read_text(encoding="utf-8"))
    return found


def visible() -> list[dict[str, Any]]:
    """The GPUs that CUDA shows to this process, in its order."""
    gpus: list[dict[str, Any]] = _host()["gpus"]
    variable = os.environ.get("CUDA_VISIBLE_DEVICES")
    if variable is None:
        return gpus
    found = []
    for word in (part.strip() for part in variable.split(",")):
        named = [gpu for index, gpu in enumerate(gpus) if word == str(index) or (word and gpu["uuid"].startswith(word))]
        if len(named) != 1:
            break
        found += named
    return found


def _gpu(handle: int) -> dict[str, Any]:
    found: dict[str, Any] = _host()["gpus"][handle]
    return found


def _begin() -> None:
    if not _host()["gpus"]:
        raise NVMLError("NVML_ERROR_LIBRARY_NOT_FOUND")


def _by_uuid(uuid: str) -> int:
    for index, gpu in enumerate(_host()["gpus"]):
        if gpu["uuid"] == uuid:
            return index
    raise NVMLError("NVML_ERROR_NOT_FOUND")


_readings = 0


def _processes(handle: int) -> list[Any]:
    """Those of the file; those that come later are there from this process' `from_reading`-th question on."""
    global _readings  # noqa: PLW0603  NVML is a module
    _readings += 1
    pids = [one["pid"] for one in _gpu(handle)["processes"] if _readings > one.get("from_reading", 0)]
    own = [os.getpid()] if CLOCK.worked else []
    return [SimpleNamespace(pid=pid) for pid in (*pids, *own)]


_ANSWERS: Mapping[str, Any] = {
    "NVML_CLOCK_SM": 1,
    "NVML_TEMPERATURE_GPU": 0,
    "nvmlClocksEventReasonGpuIdle": 0x1,
    "nvmlClocksEventReasonSwPowerCap": 0x4,
    "nvmlClocksEventReasonHwSlowdown": 0x8,
    "nvmlClocksEventReasonSwThermalSlowdown": 0x20,
    "nvmlClocksEventReasonHwThermalSlowdown": 0x40,
    "nvmlClocksEventReasonHwPowerBrakeSlowdown": 0x80,
    "nvmlInit": _begin,
    "nvmlShutdown": lambda: None,
    "nvmlSystemGetDriverVersion": lambda: str(_host()["driver"]),
    "nvmlSystemGetCudaDriverVersion": lambda: int(_host()["cuda"]),
    "nvmlDeviceGetCount": lambda: len(_host()["gpus"]),
    "nvmlDeviceGetHandleByIndex": lambda index: index,
    "nvmlDeviceGetHandleByUUID": _by_uuid,
    "nvmlDeviceGetName": lambda handle: _gpu(handle)["name"],
    "nvmlDeviceGetUUID": lambda handle: _gpu(handle)["uuid"],
    "nvmlDeviceGetCudaComputeCapability": lambda handle: tuple(_gpu(handle)["sm"]),
    "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(
        free=_gpu(handle)["free_bytes"], total=_gpu(handle)["memory_bytes"]
    ),
    "nvmlDeviceGetComputeRunningProcesses": _processes,
    "nvmlDeviceGetCurrentClocksEventReasons": lambda handle: _gpu(handle)["throttle"],
    "nvmlDeviceGetClockInfo": lambda handle, kind: 1830,
    "nvmlDeviceGetMaxClockInfo": lambda handle, kind: 1965,
    "nvmlDeviceGetTemperature": lambda handle, kind: 54,
    "nvmlDeviceGetPowerUsage": lambda handle: WATTS * 1000,
    "nvmlDeviceGetEnforcedPowerLimit": lambda handle: LIMIT_MILLIWATTS,
    "nvmlDeviceGetPowerManagementDefaultLimit": lambda handle: LIMIT_MILLIWATTS,
    "nvmlDeviceGetTotalEnergyConsumption": lambda handle: round(CLOCK.now * WATTS * 1000),
}
"""NVML's names, constants and functions."""


def __getattr__(name: str) -> Any:
    try:
        return _ANSWERS[name]
    except KeyError:
        raise AttributeError(name) from None
