"""The b200 lane says everything that a machine lacks in one message."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fixtures.catalog import LANES, models
from fixtures.catalog.lanes import B200
from fixtures.machine.gpu import Card
from fixtures.pipelines.folders import short
from fixtures.pipelines.load import SHIPPED
from fixtures.run import preflight

FLUX = models()["flux1-dev"]


def gpu(
    name: str = "NVIDIA B200",
    sm: tuple[int, int] | None = (10, 0),
    driver: str = "580.65",
    gb: int = 190,
    uuid: str = "GPU-1",
    processes: tuple[int, ...] = (),
) -> Card:
    return Card(name=name, uuid=uuid, sm=sm, driver=driver, free_bytes=gb * 10**9, processes=processes)


H100 = gpu("NVIDIA H100 80GB HBM3", (9, 0), gb=81)


def choice(found: list[Card] | None, *, gpus: int = 1, cuda: int = 13, needed_gb: float = 130.0) -> preflight.Choice:
    return preflight.choose_gpus(found, B200, gpus=gpus, cuda=cuda, needed_gb=needed_gb)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "no working NVIDIA driver"),
        ([], "found no GPU"),
        ([H100, gpu("NVIDIA H200", (9, 0))], "found NVIDIA H100 80GB HBM3 (9.0), NVIDIA H200 (9.0)"),
        ([gpu("NVIDIA B300 SXM6 AC", (10, 3))], "found NVIDIA B300 SXM6 AC (10.3); `nox -s gate` measures it"),
        ([gpu("NVIDIA RTX PRO 6000 Blackwell", (12, 0))], "found NVIDIA RTX PRO 6000 Blackwell (12.0)"),
        ([gpu("NVIDIA GB10", (12, 1))], "found NVIDIA GB10 (12.1)"),
        ([gpu("Odd, name", None)], "found Odd, name ([N/A])"),
    ],
)
def test_machine_without_a_b200_is_named(found: list[Card] | None, words: str) -> None:
    (sentence,) = choice(found).missing
    assert words in sentence
    assert "compute capability 10.0" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("found", [[gpu()], [H100, gpu()], [gpu()] * 4, [replace(gpu(), free_bytes=None, driver=None)]])
def test_a_b200_is_enough(found: list[Card]) -> None:
    assert choice(found).missing == ()
    assert [card.name for card in choice(found).chosen] == ["NVIDIA B200"], "a GPU of another kind is left alone"


def test_old_driver_full_memory_and_missing_gpus_are_told_together() -> None:
    found = choice([gpu(driver="570.86.15", gb=94), gpu(driver="570.86.15", gb=94, uuid="GPU-2")], gpus=4).missing
    assert [sentence.partition(":")[0] for sentence in found] == ["GPUs", "driver", "free GPU"]
    assert "--gpus 4 needs as many of compute capability 10.0; found 2" in found[0]
    assert "CUDA 13 needs driver 580 or newer; found 570" in found[1]
    assert "GPU-1 has 94 GB free and 130 GB are needed" in found[2]


def test_a_run_takes_gpus_that_nobody_computes_on_and_says_why() -> None:
    host = [gpu(processes=(4321,)), gpu(gb=60, uuid="GPU-2"), gpu(uuid="GPU-3"), gpu(uuid="GPU-4")]
    one = choice(host)
    assert [card.uuid for card in one.chosen] == ["GPU-3"]
    busy = ("GPU-1 is in use by process 4321", "GPU-2 has 60 GB free and 130 GB are needed")
    assert (one.missing, one.passed_over) == ((), busy)
    assert [card.uuid for card in choice(host, gpus=2).chosen] == ["GPU-3", "GPU-4"]
    other = choice([replace(H100, uuid="GPU-0"), gpu()])
    assert other.passed_over == ("GPU-0 is a NVIDIA H100 80GB HBM3 (9.0)",)
    (sentence,) = choice(host, gpus=3).missing
    assert sentence == f"free GPU: 3 needed, 2 found: {'; '.join(busy)}"


def test_older_cuda_takes_the_older_driver() -> None:
    assert choice([gpu(driver="570.86.15")], cuda=12).missing == ()


def test_memory_needed_is_the_published_peak_and_a_quantized_denoiser() -> None:
    assert preflight.memory_needed_gb(FLUX) == pytest.approx(53.00 + 11.834 * 8.25 / 8, abs=0.01)
    assert max(preflight.memory_needed_gb(model) for model in models().values()) < 180, "a B200 has 180 GB"


def test_folders_without_room_or_right_are_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    folders = {tmp_path / "small": (34.0, "a saved denoiser"), file / "hub": (1.0, "weights")}
    assert preflight.lacking_disk(folders, free=lambda path: 3 * 10**9) == [
        f"disk: {tmp_path / 'small'} has 3 GB free and 34 GB are needed for a saved denoiser",
        f"disk: {file / 'hub'} cannot be written, and it takes weights",
    ]
    assert preflight.lacking_disk({tmp_path / "small": (34.0, "")}, free=lambda path: 35 * 10**9) == []


def test_what_a_run_writes_is_the_largest_saved_denoiser_and_the_weights_that_are_not_cached(tmp_path: Path) -> None:
    variables = {"HF_HOME": str(tmp_path)}
    wanted = list(models().values())
    folders = preflight.written_folders(wanted, variables)
    needed = [gb for gb, _ in folders.values()]
    # QwenImage's, two thirds of which stay in bf16, is the largest: facts of the published architecture.
    assert needed == pytest.approx([34.3, 38.34 + 62.21 + 72.77], abs=0.2)
    for model in wanted:
        folder = tmp_path / "hub" / f"models--{model.repo.replace('/', '--')}" / "snapshots" / model.revision
        folder.mkdir(parents=True)
    assert len(preflight.written_folders(wanted, variables)) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "black-forest-labs/FLUX.1-dev is closed to this machine"),
        (403, "accept its licence on the hub and set HF_TOKEN"),
        (503, "and the hub answers 503"),
        ("timed out", "and the hub cannot be reached: timed out"),
    ],
)
def test_checkpoint_out_of_reach_is_named(tmp_path: Path, status: int | str, words: str) -> None:
    (sentence,) = preflight.lacking_hub(
        [FLUX], {"HF_HOME": str(tmp_path)}, lambda address, token: status, sleep=lambda _: None
    )
    assert words in sentence


def test_hub_is_asked_for_the_pinned_revision_with_the_users_token(tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def ask(address: str, token: str) -> int:
        asked.append((address, token))
        return 200

    (tmp_path / "token").write_text("from-the-file\n")
    for variables in ({"HF_HOME": str(tmp_path)}, {"HF_TOKEN": "given", "HF_ENDPOINT": "http://mirror/"}):
        assert preflight.lacking_hub([FLUX], variables, ask) == []
    path = f"black-forest-labs/FLUX.1-dev/resolve/{FLUX.revision}/model_index.json"
    assert asked == [(f"https://huggingface.co/{path}", "from-the-file"), (f"http://mirror/{path}", "given")]


def cached(home: Path) -> Path:
    """A snapshot of the published FLUX in the hub cache below `home`: the tiny one's files."""
    snapshot = home / "hub" / "models--black-forest-labs--FLUX.1-dev" / "snapshots" / FLUX.revision
    shutil.copytree(SHIPPED / FLUX.name, snapshot)
    return snapshot


def test_cached_checkpoint_needs_no_hub(tmp_path: Path) -> None:
    cached(tmp_path)
    assert preflight.lacking_hub([FLUX], {"HF_HOME": str(tmp_path)}, lambda *_: pytest.fail("it asked")) == []


def test_snapshot_of_model_index_alone_is_not_complete(tmp_path: Path) -> None:
    snapshot = cached(tmp_path)
    for folder in [path for path in snapshot.iterdir() if path.is_dir()]:
        shutil.rmtree(folder)
    asked: list[str] = []

    def ask(address: str, token: str) -> int:
        asked.append(address)
        return 200

    assert preflight.lacking_hub([FLUX], {"HF_HOME": str(tmp_path)}, ask) == []
    assert len(asked) == 1, "the hub can bring what is missing"
    (said,) = preflight.lacking_hub([FLUX], {"HF_HOME": str(tmp_path)}, lambda *_: "no route")
    assert said.endswith("(lacks its component 'scheduler'), and the hub cannot be reached: no route")


def test_weights_that_were_cut_off_stop_the_lane_though_the_hub_answers(tmp_path: Path) -> None:
    weights = cached(tmp_path) / "vae" / "diffusion_pytorch_model.safetensors"
    os.truncate(weights, weights.stat().st_size - 1)
    (said,) = preflight.lacking_hub([FLUX], {"HF_HOME": str(tmp_path)}, lambda *_: 200)
    assert "vae/diffusion_pytorch_model.safetensors is truncated: " in said
    assert said.endswith(f"; delete {short(weights)}, then run again")


def test_hub_that_is_out_of_order_for_a_minute_is_asked_again_with_progress(
    tmp_path: Path,
) -> None:
    answers, waited = iter([503, 429, 502, 503, 200]), list[float]()
    assert (
        preflight.lacking_hub([FLUX], {"HF_HOME": str(tmp_path)}, lambda *_: next(answers), sleep=waited.append) == []
    )
    assert sum(waited) == 60
    always = list[float]()
    (said,) = preflight.lacking_hub([FLUX], {"HF_HOME": str(tmp_path)}, lambda *_: 503, sleep=always.append)
    assert said.endswith("and the hub answers 503")
    assert sum(always) == 120


def importer(**modules: object) -> Callable[[str], object]:
    def load(name: str) -> object:
        found = modules.get(name.partition(".")[0], ImportError(f"No module named {name!r}"))
        if isinstance(found, Exception):
            raise found
        return found

    return load


def torch(*, gpu: bool) -> SimpleNamespace:
    return SimpleNamespace(__version__="2.12.0.dev20261101", cuda=SimpleNamespace(is_available=lambda: gpu))


def test_packages_are_asked_in_the_lanes_own_interpreter() -> None:
    assert preflight.lacking_packages(importer(torch=torch(gpu=True))) == []
    assert preflight.lacking_packages(importer(torch=torch(gpu=False))) == ["torch: 2.12.0.dev20261101 sees no GPU"]
    assert "does not import" in preflight.lacking_packages(importer(torch=OSError("libcudart")))[0]


def test_without_mslk_one_format_is_left_out_and_the_lane_runs() -> None:
    lane = LANES["b200"]
    assert preflight.without_formats(lane, importer(mslk=object())) == []
    (said,) = preflight.without_formats(lane, importer(mslk=OSError("undefined symbol")))
    assert said == "nvfp4: importing mslk.quantize.triton.fp4_quantize fails: OSError: undefined symbol"


def test_one_message_holds_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(preflight, "gpus", lambda: [gpu("NVIDIA H200", (9, 0))])
    monkeypatch.setattr(preflight, "status_of", lambda address, token: 401)
    monkeypatch.setattr(preflight, "lacking_packages", lambda: ["torch: is not there"])
    monkeypatch.setattr(preflight, "lacking_disk", lambda folders: [])
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_planted_token")
    assert preflight.main(["b200", "--installed", "--torchao", "0.19"]) == preflight.EXIT_ERROR
    said = capsys.readouterr().err
    for words in ("5 missing", "found NVIDIA H200 (9.0)", "FLUX.1-dev is closed", "torch: is not there", "--rehearse"):
        assert words in said
    assert "hf_planted_token" not in said
    assert preflight.main(["b200", "--rehearse", "--model", "flux1-dev"]) == 0
    said = capsys.readouterr().err
    assert said.startswith("rehearsal: on the b200 lane this would stop the run, 2 missing:")


@pytest.mark.parametrize(
    ("source", "built_for", "major"),
    [
        ("130", None, 13),
        ("12.9", None, 12),
        ("https://mirror/nightly/cu130/", "12.9", 13),
        ("https://mirror/nightly", "13.0", 13),
        ("file:///nightlies", None, 0),
    ],
)
def test_a_driver_is_held_to_the_cuda_of_the_stack(source: str, built_for: str | None, major: int) -> None:
    assert preflight.cuda_major(source, built_for) == major


def test_a_rehearsal_finds_again_what_its_preflight_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight, "ROOT", tmp_path)
    rehearsal = LANES["b200-rehearsal"]
    assert preflight.kept_stops(rehearsal) == []
    preflight.keep_stops(LANES["b200"], ["GPU: none", "hub: closed"])
    assert preflight.kept_stops(rehearsal) == ["GPU: none", "hub: closed"]
    assert preflight.kept_stops(LANES["b200"]) == []
