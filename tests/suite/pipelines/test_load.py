"""A checkpoint becomes a pipeline, or one sentence; its fingerprint knows every byte."""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fixtures.catalog import models
from fixtures.pipelines.folders import CheckpointProblem, UnusableInput, damage_of
from fixtures.pipelines.load import SHIPPED, fingerprint, load_pipeline, source_of

FLUX = models()["flux1-dev"]
REMEDY = "restore it with `git checkout -- fixtures/checkpoints`, or train it again"


def weights(path: Path, *, tensors: dict[str, int] | None = None, short: int = 0) -> Path:
    """A safetensors file with tensors of so many bytes, cut `short` by some."""
    header, offset = {}, 0
    for name, size in (tensors or {"weight": 40}).items():
        header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    whole = struct.pack("<Q", len(text)) + text + bytes(offset)
    path.write_bytes(whole[: len(whole) - short])
    return path


def sharded(component: Path, *, shards: int, present: int) -> None:
    """The index of so many shards in a component's folder, and the first few of them."""
    names = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
    index = {"weight_map": {f"weight{number}": name for number, name in enumerate(names)}}
    (component / "model.safetensors.index.json").write_text(json.dumps(index))
    for name in names[:present]:
        weights(component / name)


def dangling(path: Path) -> None:
    """A link to a file that is gone, as in a hub cache whose blob somebody deleted."""
    path.unlink()
    path.symlink_to("../../../blobs/0123")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline folder of two components, whole."""
    folder = tmp_path / "flux1-dev"
    for component in ("transformer", "vae"):
        (folder / component).mkdir(parents=True)
        weights(folder / component / "model.safetensors")
        (folder / component / "config.json").write_text("{}")
    index = {"_class_name": "FluxPipeline", "transformer": ["diffusers", "X"], "vae": ["diffusers", "Y"]}
    (folder / "model_index.json").write_text(json.dumps({**index, "image_encoder": [None, None]}))
    return folder


def test_a_whole_folder_has_no_problem(folder: Path) -> None:
    assert damage_of(folder) is None
    assert source_of(FLUX, "tiny", folder.parent) == folder


@pytest.mark.parametrize("name", [name for name, model in models().items() if "tiny" in model.samplings])
def test_shipped_checkpoints_are_whole_and_small(name: str) -> None:
    assert damage_of(SHIPPED / name) is None
    assert sum(path.stat().st_size for path in (SHIPPED / name).rglob("*")) < 12e6


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (shutil.rmtree, "flux1-dev is missing or has no model_index.json"),
        (lambda folder: (folder / "model_index.json").unlink(), "flux1-dev is missing or has no model_index.json"),
        (lambda folder: (folder / "model_index.json").write_text("{"), "model_index.json is not readable JSON (Exp"),
        (lambda folder: shutil.rmtree(folder / "vae"), "flux1-dev lacks its component 'vae'"),
        (lambda folder: weights(folder / "vae" / "model.safetensors", short=1), " bytes instead of "),
        (lambda folder: (folder / "vae" / "model.safetensors").unlink(), "flux1-dev/vae lacks its weights"),
        (lambda folder: (folder / "vae" / "config.json").unlink(), "flux1-dev/vae lacks config.json"),
        (lambda folder: dangling(folder / "vae" / "model.safetensors"), "vae/model.safetensors is missing"),
        (
            lambda folder: sharded(folder / "vae", shards=2, present=1),
            "model-00002-of-00002.safetensors is missing",
        ),
        (
            lambda folder: (folder / "vae" / "model.safetensors.index.json").write_text("[]"),
            "model.safetensors.index.json is no readable index of shards (TypeError: ",
        ),
        (lambda folder: (folder / "vae" / "model.safetensors").write_bytes(b"abc"), "is truncated: 3 bytes"),
        (
            lambda folder: (folder / "vae" / "model.safetensors").write_bytes(struct.pack("<Q", 999) + b"{}"),
            "is truncated: 10 bytes, its header alone needs 1007",
        ),
        (
            lambda folder: (folder / "vae" / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"]]"),
            "has a header that is not JSON; the file is damaged or a Git LFS pointer",
        ),
        (
            lambda folder: (folder / "vae" / "model.safetensors").write_text(
                "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n"
            ),
            "is truncated",
        ),
    ],
)
def test_each_damage_is_one_sentence_with_the_remedy(
    folder: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    damage(folder)
    with pytest.raises(UnusableInput) as caught:
        load_pipeline(FLUX, "tiny", folder=folder.parent)
    text = str(caught.value)
    assert sentence in text
    assert "flux1-dev" in text
    assert REMEDY in text
    assert "\n" not in text


def test_every_byte_and_every_name_counts_for_the_fingerprint(folder: Path, tmp_path: Path) -> None:
    def of(name: str, change: Callable[[Path], object]) -> str:
        copy = tmp_path / name / "flux1-dev"
        shutil.copytree(folder, copy)
        change(copy)
        return fingerprint(FLUX, "tiny", copy.parent)

    whole = fingerprint(FLUX, "tiny", folder.parent)
    assert of("same", lambda copy: None) == whole
    changed = {
        of("bytes", lambda copy: weights(copy / "vae" / "model.safetensors", tensors={"weight": 41})),
        of("name", lambda copy: (copy / "vae" / "model.safetensors").rename(copy / "vae" / "other.safetensors")),
        of("more", lambda copy: (copy / "vae" / "more.json").write_text("{}")),
    }
    assert len(changed | {whole}) == 4


def test_shards_that_are_all_there_are_whole(folder: Path) -> None:
    sharded(folder / "vae", shards=3, present=3)
    assert damage_of(folder) is None


def test_published_weights_are_known_by_their_revision() -> None:
    assert fingerprint(FLUX, "hub") == FLUX.revision


def test_a_checkpoint_without_files_is_refused() -> None:
    with pytest.raises(CheckpointProblem, match="checkpoint 'random' of flux1-dev has no files; choose tiny or hub"):
        source_of(FLUX, "random")


def test_the_pipeline_comes_in_the_dtype_that_is_asked_for_and_with_its_methods_called() -> None:
    model = dataclasses.replace(FLUX, after_load=("vae.enable_tiling",))
    pipe = load_pipeline(model, "tiny", dtype=torch.float32)
    assert type(pipe).__name__ == "FluxPipeline"
    assert pipe.vae.use_tiling
    for component in (pipe.transformer, pipe.vae, pipe.text_encoder, pipe.text_encoder_2):
        assert {parameter.dtype for parameter in component.parameters()} == {torch.float32}


def test_a_pipeline_of_another_class_is_refused() -> None:
    other = dataclasses.replace(FLUX, pipeline="FluxControlPipeline")
    sentence = (
        "the tiny checkpoint of flux1-dev is a FluxPipeline with a FluxTransformer2DModel; flux1-dev needs "
        "FluxControlPipeline with FluxTransformer2DModel"
    )
    with pytest.raises(CheckpointProblem) as caught:
        load_pipeline(other, "tiny")
    assert str(caught.value) == sentence


def test_what_the_libraries_cannot_load_is_one_sentence(folder: Path) -> None:
    with pytest.raises(CheckpointProblem, match="the tiny checkpoint of flux1-dev does not load: ") as caught:
        load_pipeline(FLUX, "tiny", folder=folder.parent)
    assert "\n" not in str(caught.value)


def test_a_text_encoder_that_loads_only_partly_is_refused(tmp_path: Path) -> None:
    """transformers draws what a file does not hold anew, and only logs it."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(SHIPPED / FLUX.name, tmp_path / FLUX.name)
    file = tmp_path / FLUX.name / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    lost = tensors.pop(next(name for name in tensors if "fc1.weight" in name))
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointProblem, match="its text_encoder loads only partly") as caught:
        load_pipeline(FLUX, "tiny", folder=tmp_path)
    held = sum(tensor.numel() for tensor in tensors.values())
    assert f"holds {held:,} of the {held + lost.numel():,} numbers that CLIPTextModel has" in str(caught.value)
    for model in models().values():
        load_pipeline(model, "tiny")
