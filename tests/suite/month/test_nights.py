"""Day 1: no baseline, the command that the night prints, and the night after it. Days 2 to 8: what goes wrong on a
night is told once, in one sentence, and costs the rest nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fixtures import ROOT
from fixtures.catalog import models
from fixtures.gates.verdict import Cause, ExitCode, Verdict
from fixtures.pipelines.load import SHIPPED
from fixtures.results.baseline import path_of, read
from fixtures.results.records import RECORDING, records_baselines
from fixtures.run.preflight import EXIT_ERROR
from tests.suite.b200 import index
from tests.suite.b200.host import GB, Host, gpu, today
from tests.suite.gate_runs import METRIC, Outcome, cases
from tests.suite.hub_stand_in import into_cache, repository, serving

BF16, MXFP8, NVFP4 = (f"flux1-dev/{name}-hub-bs1-reduce-overhead" for name in ("bf16", "mxfp8", "nvfp4"))
MXFP8_BS8 = "flux1-dev/mxfp8-hub-bs8-regional"
KEEPING = ("manifest", "memory", "arithmetic", "velocity", "digest", "speed")
KEPT = tuple(part for name in KEEPING for part in ("--gate", name))
RECORD = ("--rebaseline", "--reason", "a first night")
NARROWED = (*cases(BF16, MXFP8), "--gate", "manifest", "--gate", "reference", "--gate", "digest")


@dataclass(frozen=True, kw_only=True)
class FirstNight:
    """A night without baselines, and the command that it printed."""

    host: Host
    lacking: Outcome
    command: list[str]
    recorded: Outcome
    """What the command came to, typed as printed."""


@pytest.fixture(scope="module")
def first_night(host: Host) -> FirstNight:
    """The first night of the host, whose index has every nightly."""
    index.nights(host.nightlies, index.a_night(today()))
    lacking = host.session(*NARROWED)
    command = printed(lacking)
    return FirstNight(host=host, lacking=lacking, command=command, recorded=host.typed(command))


@pytest.fixture(scope="module")
def recorded(first_night: FirstNight) -> Host:
    """The host, with baselines of every gate of two cases."""
    assert first_night.recorded.code == ExitCode.GREEN, first_night.recorded.text
    return first_night.host


def printed(outcome: Outcome) -> list[str]:
    """The command at the end of the run."""
    told = json.loads((outcome.folder / "report.json").read_text())
    command: list[str] = told["next"]
    return command


def like(host: Host, **changes: object) -> Host:
    """The same host with something changed; its description is of its own, its folders are shared."""
    return replace(host, **changes)  # type: ignore[arg-type]


def red(outcome: Outcome) -> dict[str, set[str]]:
    """Case -> gates that are red."""
    found: dict[str, set[str]] = {}
    for record in outcome.records:
        if record.verdict is not Verdict.PASS:
            found.setdefault(record.case, set()).add(record.gate)
    return found


def after(module: str, code: str) -> dict[str, str]:
    """Something that a nightly broke."""
    return {"after": module, "code": code}


# ---- day 1 ---------------------------------------------------------------------------------------------------------


def test_a_first_night_prints_one_command_that_records_every_case_and_the_second_is_green(
    first_night: FirstNight,
) -> None:
    lacking = first_night.lacking
    assert lacking.code == ExitCode.FAIL, lacking.text
    of_red = [record for record in lacking.records if record.verdict is not Verdict.PASS]
    causes = {check.cause for record in of_red for check in record.checks if check.verdict is not Verdict.PASS}
    assert causes == {Cause.NO_BASELINE}, lacking.text
    assert {record.case for record in of_red} == {BF16, MXFP8}

    command = first_night.command
    assert command[:4] == ["nox", "-s", "b200", "--"], "on the stack that the lane judges"
    assert records_baselines(command)
    assert tuple(command[:4]) != RECORDING
    assert first_night.recorded.code == ExitCode.GREEN, first_night.recorded.text
    kept = {path.stem for path in (first_night.host.folder / "baselines" / "b200").rglob("*.json")}
    assert kept == {case.partition("/")[2] for case in (BF16, MXFP8)}

    second = first_night.host.session(*NARROWED)
    assert second.code == ExitCode.GREEN, second.text
    assert {record.verdict for record in second.records} == {Verdict.PASS}
    assert {record.arithmetic for record in second.records} == {"native"}


@pytest.mark.drill
def test_a_smoke_that_is_red_stops_the_night_before_published_weights_are_read(host: Host) -> None:
    """A denoiser that is called once too often, on a night that nothing narrows but its format."""
    more = (
        "_call = FluxPipeline.__call__\n"
        "def _twice(self, *args, **kwargs):\n"
        "    return _call(self, *args, **{**kwargs, 'num_inference_steps': kwargs['num_inference_steps'] + 1})\n"
        "FluxPipeline.__call__ = _twice\n"
    )
    index.nights(host.nightlies, index.a_night(today()))
    broken = like(host, planted=[after("diffusers.pipelines.flux.pipeline_flux", more)])
    night = broken.session("--model", "flux1-dev", "--format", "bf16")
    assert night.code == ExitCode.FAIL, night.text
    assert not night.records
    smoke = next(line for line in night.text.splitlines() if "no published weights were read" in line)
    assert smoke.startswith("the tiny checkpoints are red on this stack")


@pytest.mark.drill
def test_a_gpu_that_is_in_use_is_left_alone(host: Host) -> None:
    """Through the session, whose programs then see the free one alone."""
    index.nights(host.nightlies, index.a_night(today()))
    busy = like(host, gpus=[gpu(0, processes=[{"pid": 4321}]), gpu(1), gpu(2)])
    night = busy.session("--case", "flux1-dev/mxfp8-meta-bs1-eager", "--gate", "roofline")
    assert night.code == ExitCode.GREEN, night.text
    assert f"{gpu(1)['uuid']} is taken: {gpu(0)['uuid']} is in use by process 4321" in night.text


# ---- day 2 ---------------------------------------------------------------------------------------------------------


def test_a_recording_that_is_killed_keeps_what_was_done_and_goes_on(host: Host, tmp_path: Path) -> None:
    baselines, results = tmp_path / "baselines", tmp_path / "results"
    command = [sys.executable, "-m", "pytest", "tests/gate", "-p", "no:cacheprovider", "--lane", "b200"]
    command += [
        *cases(BF16, MXFP8),
        "--gate",
        "digest",
        "--gate",
        "manifest",
        *RECORD,
        "--metric",
        METRIC,
        "--baselines",
        str(baselines),
    ]
    command += ["--results", str(results)]
    first = path_of(baselines, "b200", BF16)
    with subprocess.Popen(
        command, cwd=ROOT, env=host.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:
        while not first.is_file() and child.poll() is None:
            time.sleep(0.2)
        os.kill(child.pid, signal.SIGKILL)
    assert first.is_file()
    before = first.read_bytes()
    done = host.outcome(results, host.python(*command[1:], "--resume"))
    assert done.code == ExitCode.GREEN, done.text
    assert "1 of 3 gates were done" in done.text
    assert first.read_bytes() == before
    assert "manifest" in read(path_of(baselines, "b200", MXFP8), MXFP8).sections()


@pytest.mark.drill
def test_a_red_gate_refuses_its_own_section_and_nothing_else(host: Host, tmp_path: Path) -> None:
    """mxfp8's kernels take as long as bf16's: the published floor is missed, and everything else is as it was."""
    slow = like(
        host, planted=[after("tests.suite.b200.silicon", "MULTIPLICATION_S['mxfp8'] = MULTIPLICATION_S['bf16']")]
    )
    night = slow.night(*cases(MXFP8), *KEPT, *RECORD, "--baselines", str(tmp_path))
    assert night.code == ExitCode.FAIL, night.text
    assert red(night) == {MXFP8: {"speed"}}
    sections = {name.partition(":")[0] for name in read(path_of(tmp_path, "b200", MXFP8), MXFP8).sections()}
    assert sections == set(KEEPING) - {"speed"}


# ---- day 3 ---------------------------------------------------------------------------------------------------------

PLANTED: dict[str, tuple[Mapping[str, str], set[str]]] = {
    "numerics": (
        after(
            "torchao.prototype.mx_formats.mx_tensor",
            "_rceil = _to_mx_rceil\n"
            "def _to_mx_rceil(data_hp, max_abs, max_pos):\n"
            "    return _rceil(data_hp, max_abs / 16, max_pos)\n",
        ),
        {"arithmetic", "velocity"},
    ),
    "speed": (
        after("tests.suite.b200.silicon", "MULTIPLICATION_S['mxfp8'] *= 1.05"),
        {"speed"},
    ),
    "memory": (
        after(
            "torchao.quantization.quant_api",
            "_quantize = quantize_\n"
            "def quantize_(model, *args, **kwargs):\n"
            "    plain = {name: weight.data for name, weight in model.named_parameters() if weight.ndim == 2}\n"
            "    _quantize(model, *args, **kwargs)\n"
            "    for name, weight in plain.items():\n"
            "        model.register_buffer('plain_' + name.replace('.', '_'), weight, persistent=False)\n",
        ),
        {"memory"},
    ),
}
"""Block scales a sixteenth of what they should be; kernels 5 % slower; weights kept beside their quantized selves."""


@pytest.mark.parametrize(
    "kind", ["speed", *(pytest.param(kind, marks=pytest.mark.drill) for kind in ("numerics", "memory"))]
)
def test_a_planted_regression_is_red_in_the_gates_that_are_for_it(recorded: Host, kind: str) -> None:
    plant, gates = PLANTED[kind]
    night = like(recorded, planted=[plant]).night(*cases(MXFP8), *KEPT)
    assert night.code == ExitCode.FAIL, night.text
    found = red(night)
    assert set(found) == {MXFP8}
    assert found[MXFP8] >= gates if kind == "numerics" else found[MXFP8] == gates


# ---- day 4 ---------------------------------------------------------------------------------------------------------


@pytest.mark.drill
def test_a_library_of_mslk_that_does_not_load_is_not_needed(recorded: Host) -> None:
    breaks = (
        "_load = ops.load_library\n"
        "def load_library(path):\n"
        "    if 'mslk' in str(path):\n"
        "        raise OSError(f'{path}: undefined symbol: c10_cuda_check_implementation')\n"
        "    return _load(path)\n"
        "ops.load_library = load_library\n"
    )
    unlinked = like(recorded, planted=[after("torch", breaks)])
    night = unlinked.night(*cases(MXFP8, NVFP4), "--gate", "calls", "--gate", "kernels")
    assert night.code == ExitCode.GREEN, night.text


def test_without_mslk_its_format_says_why_once_and_the_others_are_judged(recorded: Host) -> None:
    missing = like(recorded, planted=[after("torch", "import sys\nsys.modules['mslk'] = None\n")])
    night = missing.night(*cases(BF16, MXFP8, NVFP4), "--gate", "calls", "--gate", "kernels", "--gate", "manifest")
    assert night.code == ExitCode.ERROR, night.text
    assert set(red(night)) == {NVFP4}
    of_it = [record for record in night.records if record.case == NVFP4]
    assert {check.cause for record in of_it for check in record.checks} == {Cause.MISSING_DEPENDENCY}
    said = {record.message.partition(": ")[2] for record in of_it}
    assert len(said) == 1
    assert "nvfp4 cannot be judged natively: importing mslk.quantize.triton.fp4_quantize fails" in said.pop()
    assert not any("bisect" in record.next for record in of_it)
    assert f"so say {len(of_it)} gates" in night.text


# ---- day 5 ---------------------------------------------------------------------------------------------------------


def test_an_index_that_froze_or_lacks_a_package_stops_the_night_before_anything_is_installed(host: Host) -> None:
    frozen, without = host.folder / "frozen", host.folder / "without"
    index.nights(frozen, index.a_night(today(20)))
    index.nights(without, index.a_night(today(), without=["mslk"]))
    old = index.Nightly(package="torch", day=today(20)).version
    environments = host.folder / "environments"
    before = sorted(environments.glob("*"))
    for folder, words in (
        (
            frozen,
            f"are more than 7 days old: torch {old} (20 days old)",
        ),
        (without, f"no nightly of mslk up to {today()} fits here: the index offers none"),
    ):
        night = host.session("--index", folder.as_uri())
        assert night.code == EXIT_ERROR, night.text
        assert words in night.text
        assert not night.records
    assert sorted(environments.glob("*")) == before


@pytest.mark.drill
def test_packages_of_different_days_are_told_and_the_stack_that_ran_that_night_is_taken_again(host: Host) -> None:
    """torchvision and mslk of today come late, torchao's of today was yanked."""
    folder = host.folder / "lagging"
    nightly = {(name, ago): index.Nightly(package=name, day=today(ago)) for name in index.FUTURE for ago in (0, 1)}
    withdrawn = replace(nightly["torchao", 0], yanked=True)
    index.nights(folder, [*(nightly[name, 1] for name in index.FUTURE), nightly["torch", 0], withdrawn])
    asked = ("--index", folder.as_uri(), "--case", "flux1-dev/mxfp8-meta-bs1-eager", "--gate", "roofline")
    first = host.session(*asked)
    assert first.code == ExitCode.GREEN, first.text
    for name in index.FUTURE:
        assert f"{name} {nightly[name, 1].version} (1 day old)" in first.text
    assert f"torch {nightly['torch', 0].version} is there, and torchvision of its day is not" in first.text
    assert f"torchao-{withdrawn.version}-py3-none-any.whl is left out: yanked" in first.text

    index.nights(folder, [nightly["torchvision", 0], nightly["mslk", 0]])
    again = host.session(*asked, "--date", today())
    assert again.code == ExitCode.GREEN, again.text
    assert f"the stack that ran on {today()} is taken again" in again.text
    assert f"torch {nightly['torch', 1].version} (1 day old)" in again.text


# ---- day 6 ---------------------------------------------------------------------------------------------------------


@pytest.mark.drill
def test_a_process_that_comes_while_seconds_are_measured_makes_them_an_error(recorded: Host) -> None:
    visited = like(recorded, gpus=[gpu(processes=[{"pid": 4321, "from_reading": 1}])])
    night = visited.night(*cases(MXFP8), "--gate", "speed")
    assert night.code == ExitCode.ERROR, night.text
    record = night.record("speed")
    assert "another process computes on this GPU (pid 4321)" in record.message
    assert {check.cause for check in record.checks} == {Cause.DISTURBED}


def test_a_text_encoder_that_loads_only_partly_is_never_recorded(host: Host, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model = models()["flux1-dev"]
    cache = tmp_path / "home"
    published = repository(SHIPPED / model.name, tmp_path / "published", model.component)
    file = published / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    del tensors[next(name for name in tensors if "fc1.weight" in name)]
    save_file(tensors, file, metadata={"format": "pt"})
    into_cache(published, cache, model)
    broken = like(host, variables={"HF_HOME": str(cache)})
    night = broken.night(*cases(BF16, MXFP8), *KEPT, *RECORD, "--baselines", str(tmp_path / "baselines"))
    assert night.code == ExitCode.ERROR, night.text
    assert all("its text_encoder loads only partly" in record.message for record in night.records)
    assert not (tmp_path / "baselines").exists()
    assert night.text.count("so say") == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"driver": "570.86.15"}, "driver: CUDA 13 needs driver 580 or newer; found 570"),
        ({"gpus": []}, "no working NVIDIA driver"),
        (
            {"gpus": [gpu(name="NVIDIA B300 SXM6 AC", sm=[10, 3])]},
            "found NVIDIA B300 SXM6 AC (10.3); `nox -s gate` measures",
        ),
        ({"gpus": [gpu(name="NVIDIA RTX PRO 6000 Blackwell", sm=[12, 0])]}, "(12.0); `nox -s gate` measures it"),
        ({"gpus": [gpu(processes=[{"pid": 77}])]}, "is in use by process 77"),
    ],
    ids=["old-driver", "no-gpu", "b300", "rtx-pro-6000", "busy"],
)
def test_what_the_host_lacks_stops_the_night_before_anything_is_drawn(
    host: Host, changes: dict[str, object], words: str
) -> None:
    index.nights(host.nightlies, index.a_night(today()))
    night = like(host, **changes).session()
    assert night.code == EXIT_ERROR, night.text
    assert words in night.text
    assert not night.records


def test_hub_and_disk_stop_the_night_in_one_message_before_anything_is_installed(host: Host, tmp_path: Path) -> None:
    """A hub that restarts, keeps one repository closed and has lost another's revision; a disk that is nearly full."""
    flux, qwen, ltx = models().values()
    there = {flux.repo: (flux.revision, "gated"), qwen.repo: (qwen.revision, "no revision")}
    with serving({**there, ltx.repo: (ltx.revision, SHIPPED / ltx.name)}, out_of_order=1) as hub:  # type: ignore[dict-item]
        full = like(host, disk_free_bytes=3 * GB, variables={"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url})
        night = full.session()
    assert night.code == EXIT_ERROR, night.text
    assert "the hub answers HTTP 503; asking again in 5 s" in night.text
    assert f"hub: {flux.repo} is closed to this machine" in night.text
    assert f"hub: {qwen.repo} at {qwen.revision[:7]} is not in {tmp_path / 'home'}" in night.text
    assert f"hub: {ltx.repo}" not in night.text
    assert f"disk: {tmp_path / 'home' / 'hub'} has 3 GB free and" in night.text
    assert "GB are needed for a denoiser that is saved (TMPDIR)" in night.text


def test_a_cache_that_nobody_may_write_stops_the_night(host: Host, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    night = like(host, variables={"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": "http://127.0.0.1:9"}).session()
    assert night.code == EXIT_ERROR, night.text
    assert f"disk: {tmp_path / 'home' / 'hub'} cannot be written, and it takes the weights of" in night.text


@pytest.mark.drill
def test_a_gb300_beside_a_b200_records_baselines_of_its_own_and_borrows_no_floor(host: Host) -> None:
    """Each lane takes its own of two GPUs; what the GB300's first night prints records it, and its second is green."""
    index.nights(host.nightlies, index.a_night(today()))
    two = like(host, gpus=[gpu(0, name="NVIDIA GB300", sm=[10, 3]), gpu(1)])
    b200 = two.session("--case", "flux1-dev/mxfp8-meta-bs1-eager", "--gate", "roofline")
    assert b200.code == ExitCode.GREEN, b200.text
    assert f"{gpu(1)['uuid']} is taken: {gpu(0)['uuid']} is a NVIDIA GB300 (10.3)" in b200.text

    asked = (*cases(MXFP8), "--gate", "manifest", "--gate", "speed")
    lacking = two.session(*asked, name="gb300")
    assert lacking.code == ExitCode.FAIL, lacking.text
    assert {check.cause for one in lacking.records for check in one.checks if check.cause} == {Cause.NO_BASELINE}
    recorded = two.typed(printed(lacking))
    assert recorded.code == ExitCode.GREEN, recorded.text
    assert path_of(host.folder / "baselines", "gb300", MXFP8).is_file()
    second = two.session(*asked, name="gb300")
    assert second.code == ExitCode.GREEN, second.text
    assert "speedup" not in {check.name for check in second.record("speed").checks}


# ---- day 7 ---------------------------------------------------------------------------------------------------------


def test_what_does_not_load_or_fit_or_replay_is_told_and_the_rest_is_judged(recorded: Host) -> None:
    """A cell that runs out of memory, and a new process that draws nothing, on one night."""
    full = (
        "_forward = torch.nn.Linear.forward\n"
        "def _asks(self, x):\n"
        "    if not torch.compiler.is_compiling() and x.shape[0] == 8 and self.out_features > 64:\n"
        "        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0')\n"
        "    return _forward(self, x)\n"
        "torch.nn.Linear.forward = _asks\n"
        "import sys\n"
        "torch.cuda.mem_get_info = lambda *_: (1, 2)\n"  # what is there makes way for the new process
        "if '--replay' in sys.argv:\n"
        "    raise RuntimeError('this stack does not start twice')\n"
    )
    unwell = like(recorded, planted=[after("tests.suite.b200.silicon", full)])
    chosen = ("calls", "memory", "determinism")
    night = unwell.night(*cases(BF16, MXFP8, MXFP8_BS8), *(part for name in chosen for part in ("--gate", name)))
    assert night.code in {ExitCode.ERROR, ExitCode.FAIL}, night.text
    found = red(night)
    assert found[BF16] == found[MXFP8] == {"determinism"}
    said = {record.message for record in night.records if record.gate == "determinism"}
    assert len(said) == 1
    assert "the new process did not draw: determinism: importing torch fails" in said.pop()
