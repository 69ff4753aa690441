"""The machine: which lane it gets, its name in baselines, and whether its GPU was left alone."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.catalog import LANES, cases_of, choose_lane, default_lane
from fixtures.machine import gpu as gpu_module
from fixtures.machine.cpu import instruction_set, parse_cpuinfo
from fixtures.machine.disturbance import IDLE, POWER_CAP, SLOWDOWNS, GpuState, disturbance
from fixtures.machine.gpu import Card, Gpu, cuda_of_driver, gpus, gpus_of_host, other_processes, read_gpu_state, visible
from fixtures.machine.hardware import Machine, MachineMismatch, choose_kind, detect, device_key

CPU = Machine(
    kind="cpu",
    name="Intel(R) Xeon(R) Processor 6-207-2",
    sm=None,
    driver=None,
    power_limit_w=None,
    memory_total_bytes=24 << 30,
    cpu_model="Intel(R) Xeon(R) Processor 6-207-2",
    cpu_isa="avx512-fp16-bf16",
    cores=2,
    threads=2,
)
H100 = replace(CPU, kind="hopper", name="NVIDIA H100 80GB HBM3", sm=(9, 0), driver="580.95", power_limit_w=700.0)
CALM = GpuState(
    sm_clock_mhz=1980, sm_clock_max_mhz=1980, temperature_c=60, power_limit_w=700, power_limit_default_w=700
)
X86 = (
    "processor\t: 0\nmodel\t: 207\nmodel name\t: Xeon\ncpu family\t: 6\nstepping\t: 2\nflags\t: fpu avx512f amx_bf16\n"
)
ARM = "processor\t: 0\nFeatures\t: fp asimd sve i8mm\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\nCPU revision\t: 1\n"


def gpu(name: str, *sm: int) -> Gpu:
    return Gpu(name=name, sm=(sm[0], sm[1]), memory_bytes=80 << 30, uuid="GPU-1")


# --- lanes


@pytest.mark.parametrize(
    ("found", "best"),
    [
        (None, "cpu"),
        (gpu("NVIDIA A100", 8, 0), "cpu"),
        (gpu("NVIDIA L40S", 8, 9), "cpu"),
        (gpu("NVIDIA H100", 9, 0), "hopper"),
        (gpu("NVIDIA B200", 10, 0), "b200"),
        (gpu("NVIDIA B300", 10, 3), "gpu"),
        (gpu("NVIDIA RTX 5090", 12, 0), "gpu"),
    ],
)
def test_a_machine_runs_its_best_lane_and_the_cpu_lane(found: Gpu | None, best: str) -> None:
    assert choose_kind(None, found) == best
    assert choose_kind(best, found) == best
    assert choose_kind("cpu", found) == "cpu"


@pytest.mark.parametrize(
    ("requested", "found", "sentence"),
    [
        (
            "b200",
            gpu("NVIDIA H100", 9, 0),
            "--machine b200 needs compute capability 10.0; found NVIDIA H100 (9.0)",
        ),
        (
            "hopper",
            gpu("NVIDIA B200", 10, 0),
            "--machine hopper needs compute capability 9.0; found NVIDIA B200 (10.0)",
        ),
        (
            "b200",
            gpu("NVIDIA B300", 10, 3),
            "--machine b200 needs compute capability 10.0; found NVIDIA B300 (10.3)",
        ),
        ("b200", None, "--machine b200 needs compute capability 10.0; found no usable GPU: no driver"),
        ("tpu", None, "--machine tpu: there is no such machine; choose one of gb300, b200, gpu, hopper, cpu"),
    ],
)
def test_a_lane_that_the_machine_cannot_run_is_refused(requested: str, found: Gpu | None, sentence: str) -> None:
    with pytest.raises(MachineMismatch) as refused:
        choose_kind(requested, found, absent_because="no driver")
    assert str(refused.value) == sentence


def test_this_machine_is_described_for_the_cpu_lane() -> None:
    machine = detect("cpu")
    assert machine.kind == "cpu"
    assert machine.cores >= 1
    assert machine.threads >= 1
    assert machine.memory_total_bytes > 1 << 30
    assert machine.describe().startswith(f"cpu: {machine.cpu_model}, {machine.cpu_isa}")


def test_a_lane_of_its_own_takes_a_gpu_from_the_lane_of_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "gb10.py"
    file.write_text(
        "from dataclasses import replace\n"
        "from fixtures.catalog.lanes import _B200_LANE\n"
        "from fixtures.catalog.schema import Hardware\n"
        "LANE = replace(_B200_LANE, name='gb10', hardware=Hardware(kind='gb10', title='GB10', sm=(12, 1)))\n"
    )
    monkeypatch.setenv("GATE_LANES", str(file))
    found = gpu("NVIDIA GB10", 12, 1)
    assert choose_kind(None, found) == choose_kind("gb10", found) == "gb10"
    assert choose_kind(None, gpu("NVIDIA B200", 10, 0)) == "b200"
    assert default_lane("gb10").name == choose_lane("gb10", "hub").name == "gb10"
    assert cases_of(LANES["gb10"]) == cases_of(LANES["b200"])
    with pytest.raises(MachineMismatch, match=r"--machine gb10 needs compute capability 12.1; found NVIDIA B200"):
        choose_kind("gb10", gpu("NVIDIA B200", 10, 0))


def test_broken_torch_leaves_the_machine_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    machine = detect()
    assert (machine.kind, machine.threads) == ("cpu", 0)
    assert detect("b200").kind == "b200"


# --- names in baselines


def test_device_keys_tell_devices_apart() -> None:
    assert device_key(H100) == "nvidia-h100-80gb-hbm3-sm90"
    assert device_key(CPU) == "intel-xeon-processor-6-207-2-avx512-fp16-bf16"
    assert device_key(replace(CPU, cpu_isa="avx2")) != device_key(CPU)
    assert device_key(replace(CPU, threads=1, cores=64)) == device_key(CPU)


@given(model=st.text(min_size=1), isa=st.sampled_from(["avx2", "default-onednn-avx2"]))
def test_device_keys_are_names_of_files(model: str, isa: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", device_key(replace(CPU, cpu_model=model, cpu_isa=isa)))


def test_cpuinfo_gives_model_and_flags() -> None:
    assert parse_cpuinfo(X86).model == "Xeon 6-207-2"
    assert parse_cpuinfo(X86).flags == {"fpu", "avx512f", "amx_bf16"}
    assert parse_cpuinfo(ARM).model.endswith("0x41-0xd4f-1")
    assert parse_cpuinfo("").flags == frozenset()


def test_second_processor_does_not_overwrite_the_first() -> None:
    assert parse_cpuinfo(X86 + "\n" + X86.replace("Xeon", "Other")).model == "Xeon 6-207-2"


@pytest.mark.parametrize(
    ("capability", "flags", "variables", "expected"),
    [
        ("AVX512", {"amx_bf16", "avx512_bf16"}, {}, "avx512-amx-bf16"),
        ("AVX2", set(), {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "avx2-onednn-avx2"),
        ("AVX2", set(), {"ONEDNN_MAX_CPU_ISA": "", "HOME": "x"}, "avx2"),
        ("NO AVX", set(), {}, "no-avx"),
        ("SVE256", {"sve", "i8mm"}, {}, "sve256-sve-i8mm"),
    ],
)
def test_instruction_set_in_effect(capability: str, flags: set[str], variables: dict[str, str], expected: str) -> None:
    assert instruction_set(capability, frozenset(flags), variables) == expected


# --- left alone


def test_calm_gpu_is_a_measurement() -> None:
    assert disturbance(CALM, CALM) is None
    assert disturbance(replace(CALM, sm_clock_mhz=345, throttle_reasons=frozenset({IDLE})), CALM) is None


def test_gpu_that_tells_nothing_is_a_measurement() -> None:
    assert disturbance(GpuState(), GpuState()) is None


def test_power_cap_under_load_is_no_disturbance() -> None:
    assert disturbance(CALM, replace(CALM, throttle_reasons=frozenset({POWER_CAP}))) is None


def test_a_gpu_that_worked_a_moment_ago_may_still_say_that_it_reached_its_own_power_limit() -> None:
    assert disturbance(replace(CALM, throttle_reasons=frozenset({POWER_CAP})), CALM) is None
    unknown = replace(CALM, throttle_reasons=frozenset({POWER_CAP}), power_limit_default_w=None)
    assert "power-capped before any work" in str(disturbance(unknown, CALM))


def recorded_states() -> list[tuple[str, GpuState, GpuState]]:
    """NVML's states before and after every configuration that was recorded on two H200."""
    from fixtures.research.traces.read import described

    def state(fields: dict[str, Any]) -> GpuState:
        reasons, others = frozenset(fields["throttle_reasons"]), tuple(fields["other_processes"])
        return GpuState(**{**fields, "throttle_reasons": reasons, "other_processes": others})

    meta = described(Path(__file__).parents[1] / "traces" / "h200.npz")
    return [
        (name, state(configuration["before"]), state(configuration["after"]))
        for process in meta.values()
        for name, configuration in process["configurations"].items()
    ]


def test_recorded_states_of_a_gpu_left_alone_are_measurements_and_beside_a_second_process_they_are_not() -> None:
    states = recorded_states()
    assert len(states) == 55
    for name, before, after in states:
        said = disturbance(before, after)
        if name == "disturbed":
            assert said == ("another process computes on this GPU (pid 2332); wait for it or choose another GPU")
        else:
            assert said is None, (name, before, after)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    "change", [{"other_processes": (17,)}, *({"throttle_reasons": frozenset({r})} for r in SLOWDOWNS)]
)
def test_company_and_throttling_are_disturbances_at_either_end(moment: str, change: dict[str, object]) -> None:
    changed = replace(CALM, **change)  # type: ignore[arg-type]
    assert disturbance(*((changed, CALM) if moment == "before" else (CALM, changed))) is not None


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"other_processes": (17, 4)}, {}, "another process computes on this GPU (pid 4, 17)"),
        (
            {},
            {"throttle_reasons": frozenset({"thermal (hardware)"}), "temperature_c": 91},
            "throttles at 91 C: thermal (h",
        ),
        ({"throttle_reasons": frozenset({POWER_CAP}), "power_limit_w": 300}, {}, "limit 300 W, default 700 W"),
        ({}, {"sm_clock_mhz": 600}, "the SM clock is held at 600 of 1980 MHz"),
    ],
)
def test_disturbance_says_what_to_do(before: dict[str, object], after: dict[str, object], words: str) -> None:
    sentence = disturbance(replace(CALM, **before), replace(CALM, **after))  # type: ignore[arg-type]
    assert sentence is not None
    assert words in sentence
    assert "; " in sentence


def test_own_process_is_no_company_even_under_another_number() -> None:
    assert other_processes([7, 9], own=9, holds_context=True) == (7,)
    assert other_processes([4242], own=9, holds_context=True) == ()
    assert other_processes([4242], own=9, holds_context=False) == (4242,)
    assert other_processes([4242, 4243], own=9, holds_context=True) == (4243,)


def fake_nvml(**answers: object) -> ModuleType:
    """NVML with one GPU that answers what is given and refuses the rest."""
    nvml = ModuleType("pynvml")

    class NVMLError(Exception):
        pass

    def refuse(*_: object) -> object:
        raise NVMLError

    for number, name in enumerate(gpu_module.REASONS):
        setattr(nvml, name, 1 << number)
    vars(nvml).update(NVMLError=NVMLError, NVML_CLOCK_SM=1, NVML_TEMPERATURE_GPU=0)
    vars(nvml).update(nvmlInit=lambda: None, nvmlShutdown=lambda: None, nvmlDeviceGetHandleByUUID=lambda uuid: uuid)
    clocks = ("CurrentClocksEventReasons", "ClockInfo", "MaxClockInfo")
    power = ("PowerUsage", "EnforcedPowerLimit", "PowerManagementDefaultLimit")
    for name in (*clocks, *power, "ComputeRunningProcesses", "Temperature", "MemoryInfo"):
        setattr(nvml, f"nvmlDeviceGet{name}", (lambda *_, name=name: answers[name]) if name in answers else refuse)
    return nvml


def test_nvml_is_read_into_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = fake_nvml(
        CurrentClocksEventReasons=0b1001,
        ComputeRunningProcesses=[SimpleNamespace(pid=17)],
        ClockInfo=1200,
        MaxClockInfo=1980,
        PowerUsage=350_000,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    state = read_gpu_state("GPU-1")
    assert state is not None
    assert state.throttle_reasons == {IDLE, "thermal (hardware)"}
    assert state.other_processes == (17,)
    assert (state.sm_clock_mhz, state.sm_clock_max_mhz, state.power_w, state.temperature_c) == (1200, 1980, 350.0, None)


def test_every_gpu_of_the_host_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = fake_nvml()
    vars(nvml).update(
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID="GPU-{}".format,
        nvmlDeviceGetName="NVIDIA B{}00".format,
        nvmlDeviceGetCudaComputeCapability=lambda _: (10, 0),
        nvmlSystemGetDriverVersion=lambda: "580.65.06",
        nvmlSystemGetCudaDriverVersion=lambda: 13010,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert gpus_of_host() == {"GPU-0", "GPU-1"}
    assert gpus({"CUDA_VISIBLE_DEVICES": "1"}) == [card("GPU-1", name="NVIDIA B100")]
    assert cuda_of_driver() == 131

    def refused(_: int) -> str:
        raise nvml.NVMLError

    monkeypatch.setattr(nvml, "nvmlDeviceGetHandleByIndex", refused)
    assert gpus_of_host() == frozenset()


def card(uuid: str, name: str = "NVIDIA B200") -> Card:
    return Card(name=name, uuid=uuid, sm=(10, 0), driver="580.65.06", free_bytes=None)


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, ["GPU-a1", "GPU-a2", "MIG-7"]),
        ("1, 0", ["GPU-a2", "GPU-a1"]),
        ("GPU-a2", ["GPU-a2"]),
        ("MIG-7", ["MIG-7"]),
        ("0,9,1", ["GPU-a1"]),
        ("GPU-a", []),
        ("", []),
        ("-1", []),
    ],
)
def test_a_process_may_use_the_gpus_that_its_variable_names(variable: str | None, expected: list[str]) -> None:
    assert [one.uuid for one in visible([card("GPU-a1"), card("GPU-a2"), card("MIG-7")], variable)] == expected


def test_machine_without_nvml_has_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = fake_nvml()

    def absent() -> None:
        raise nvml.NVMLError

    monkeypatch.setattr(nvml, "nvmlInit", absent)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert read_gpu_state("GPU-1") is None
    assert gpus_of_host() == frozenset()
    assert gpus() is None
    assert cuda_of_driver() is None
