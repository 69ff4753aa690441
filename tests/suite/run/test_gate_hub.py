"""`--checkpoint hub` through the whole gate: downloads, the cache, and every way of not having published weights.

Each run is a process of its own, because huggingface_hub reads HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE at import.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.catalog import models
from fixtures.catalog.schema import Model
from fixtures.gates.verdict import Cause, ExitCode
from fixtures.pipelines.load import SHIPPED
from fixtures.results.run import RunUnreadable, read_run
from tests.suite import hub_gate
from tests.suite.gate_runs import METRIC, ROOT, Outcome, cases, gates
from tests.suite.hub_stand_in import Answer, into_cache, repository, serving

FLUX, QWEN, LTX = (models()[name] for name in ("flux1-dev", "qwen-image", "ltx-2"))
EVERY = [part for model in (FLUX, QWEN, LTX) for part in cases(f"{model.name}/bf16-hub-bs1-eager")]
NOWHERE = "http://127.0.0.1:9"
"""Nobody listens on the discard port."""

Hub = Callable[..., Outcome]


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model name -> a folder like its published repository."""
    folder = tmp_path_factory.mktemp("repositories")
    return {
        model.name: repository(SHIPPED / model.name, folder / model.name, model.component)
        for model in (FLUX, QWEN, LTX)
    }


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    """Runs the gate with `--checkpoint hub`; the cache is below `tmp_path / "home"` unless said otherwise."""

    def run(*arguments: str, **variables: str) -> Outcome:
        results = tmp_path / f"results-{len(list(tmp_path.glob('results-*')))}"
        command = [sys.executable, "-m", "pytest", "tests/gate", "-p", "tests.suite.hub_gate", "-p", "no:cacheprovider"]
        command += ["--machine", "cpu", "--checkpoint", "hub", "--metric", METRIC, "--results", str(results)]
        (tmp_path / "baselines").mkdir(exist_ok=True)
        command += ["--baselines", str(tmp_path / "baselines"), *arguments]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING_FACE_"))}
        # A stand-in on this machine is never behind a proxy.
        environment = {
            **kept,
            "HF_HOME": str(tmp_path / "home"),
            "NO_PROXY": "127.0.0.1",
            "COLUMNS": "140",
            **variables,
        }
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800, check=False
        )
        try:
            records = read_run(results / "latest").records
        except RunUnreadable:
            records = ()
        folder = (results / "latest").resolve()
        return Outcome(code=done.returncode, text=done.stdout + done.stderr, folder=folder, records=records)

    return run


def sentence_of(outcome: Outcome, case: str) -> str:
    """What every gate of the case says: one and the same line."""
    said = {record.message.removeprefix(f"{record.gate}: ") for record in outcome.records if record.case == case}
    assert {record.verdict for record in outcome.records if record.case == case} == {"error"}
    assert len(said) == 1, said
    (sentence,) = said
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("model", [FLUX, QWEN, LTX], ids=lambda model: model.name)
def test_these_runs_make_the_published_call_smaller_and_no_other(model: Model) -> None:
    published, run = model.sampling("hub"), hub_gate.fitted(model).sampling("hub")
    changed = {name for name in published.call if run.call[name] != published.call[name]}
    assert changed <= {*hub_gate.SIZES, "num_inference_steps"}
    assert set(run.call) == set(published.call)
    steps = (published.call["num_inference_steps"], run.call["num_inference_steps"])
    assert published.denoiser_calls * steps[1] == run.denoiser_calls * steps[0]


def test_a_cache_made_elsewhere_serves_every_model_without_network(
    hub: Hub, repositories: dict[str, Path], tmp_path: Path
) -> None:
    for model in (FLUX, QWEN, LTX):
        into_cache(repositories[model.name], tmp_path / "home", model)
    nvfp4 = [part for model in (FLUX, QWEN, LTX) for part in cases(f"{model.name}/nvfp4-hub-bs1-eager")]
    names = ("memory", "calls", "kernels", "round_trip", "determinism")
    outcome = hub(*EVERY, *nvfp4, *gates(*names), HF_HUB_OFFLINE="1", HF_ENDPOINT=NOWHERE)
    assert outcome.code == ExitCode.GREEN, outcome.text
    assert {record.verdict for record in outcome.records} == {"pass"}
    assert len(outcome.records) == 3 * (2 + len(names))
    # QwenImage calls its denoiser for both branches of guidance, LTX-2 once for both.
    said = {record.case.partition("/")[0]: record.message for record in outcome.records if record.gate == "calls"}
    assert {name: text.split(" (")[0] for name, text in said.items()} == {
        "flux1-dev": "denoiser calls per picture 2, expected 2",
        "qwen-image": "denoiser calls per picture 4, expected 4",
        "ltx-2": "denoiser calls per picture 2, expected 2",
    }


def test_what_the_hub_refuses_is_one_sentence_a_model(hub: Hub) -> None:
    refusing: dict[str, tuple[str, Path | Answer]] = {
        FLUX.repo: (FLUX.revision, "gated"),
        QWEN.repo: (QWEN.revision, "no revision"),
        LTX.repo: (LTX.revision, "no repository"),
    }
    with serving(refusing) as server:
        outcome = hub(*EVERY, *gates("calls", "determinism"), HF_ENDPOINT=server.url)
    assert outcome.code == ExitCode.ERROR, outcome.text
    assert "Traceback" not in outcome.text
    assert sentence_of(outcome, "flux1-dev/bf16-hub-bs1-eager") == (
        f"{FLUX.repo} at {FLUX.revision} is gated ({FLUX.licence}): accept its licence on the hub and set HF_TOKEN to "
        "a token that may read it, or use --checkpoint tiny"
    )
    assert sentence_of(outcome, "qwen-image/bf16-hub-bs1-eager") == (
        f"{QWEN.repo} at {QWEN.revision}: the hub has no such revision; correct `revision` in the model's catalog "
        "file, or use --checkpoint tiny"
    )
    assert sentence_of(outcome, "ltx-2/bf16-hub-bs1-eager") == (
        f"{LTX.repo} at {LTX.revision}: the hub shows no such repository without HF_TOKEN (HTTP 401); set HF_TOKEN to "
        "a valid token that may read it, or correct `repo` in the model's catalog file, or use --checkpoint tiny"
    )


def test_what_a_cache_lacks_is_named_and_the_remedy_mends_it(
    hub: Hub, repositories: dict[str, Path], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    flux, qwen = (into_cache(repositories[model.name], home, model) for model in (FLUX, QWEN))
    shard = sorted((flux / "transformer").glob("*.safetensors"))[1]
    shard.resolve().unlink()
    shard.unlink()
    cut = qwen / "vae" / "diffusion_pytorch_model.safetensors"
    blob = cut.resolve()
    whole = blob.stat().st_size
    os.truncate(blob, whole - 1)

    outcome = hub(*EVERY, *gates("calls", "digest"), HF_HUB_OFFLINE="1")
    assert outcome.code == ExitCode.ERROR, outcome.text
    fetch = "run again where the hub can be reached, which fetches what is missing, or use --checkpoint tiny"
    assert sentence_of(outcome, "flux1-dev/bf16-hub-bs1-eager") == (
        f"{FLUX.repo} at {FLUX.revision} is not whole in the hub cache: transformer/{shard.name} is missing; {fetch}"
    )
    said = sentence_of(outcome, "qwen-image/bf16-hub-bs1-eager")
    assert said.startswith(
        f"{QWEN.repo} at {QWEN.revision} is not whole in the hub cache: vae/{cut.name} is truncated: {whole - 1} bytes "
        f"instead of {whole}; delete "
    )
    assert said.endswith(f", then {fetch}")
    named = said.partition("; delete ")[2].partition(", then ")[0]
    assert (ROOT / named).resolve() == blob
    said = sentence_of(outcome, "ltx-2/bf16-hub-bs1-eager")
    assert said.startswith(f"{LTX.repo} at {LTX.revision} is not in the hub cache (")
    assert said.endswith("); unset HF_HUB_OFFLINE and run again, or use --checkpoint tiny")

    blob.unlink()
    recorded = ("manifest", "calls", "digest")
    rebaseline = (*gates(*recorded), "--rebaseline", "--reason", "published weights")
    served = {model.repo: (model.revision, repositories[model.name]) for model in (FLUX, QWEN, LTX)}
    with serving(served, out_of_order=1) as server:
        mended = hub(*EVERY, *cases("flux1-dev/nvfp4-hub-bs1-eager"), *rebaseline, HF_ENDPOINT=server.url)
    assert mended.code == ExitCode.GREEN, mended.text
    assert mended.record("manifest").message.startswith("quantized Linears 44, expected 44")
    asked = {model.name: {name for name in server.asked if name.startswith(model.repo)} for model in (FLUX, QWEN, LTX)}
    assert asked["flux1-dev"] == {f"{FLUX.repo}/transformer/{shard.name}"}
    assert asked["qwen-image"] == {f"{QWEN.repo}/vae/{cut.name}"}
    assert len([name for name in asked["ltx-2"] if "/transformer/diffusion_pytorch_model-" in name]) == 2
    assert len(server.asked) == len(set(server.asked))
    baseline = tmp_path / "baselines" / "cpu" / "flux1-dev" / "nvfp4-hub-bs1-eager.json"
    assert baseline.is_file()


def test_right_size_and_wrong_bytes_are_blamed_on_the_file_and_bisect_nothing(
    hub: Hub, repositories: dict[str, Path], tmp_path: Path
) -> None:
    """Drawn from, such weights look like a fault of torch."""
    snapshot = into_cache(repositories["flux1-dev"], tmp_path / "home", FLUX)
    shard = min((snapshot / "transformer").glob("*.safetensors"))
    blob = shard.resolve()
    data = bytearray(blob.read_bytes())
    data[-100:] = bytes(100)
    blob.write_bytes(data)
    case = "flux1-dev/bf16-hub-bs1-eager"
    outcome = hub(*cases(case), *gates("calls", "digest"), HF_HUB_OFFLINE="1", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert outcome.code == ExitCode.ERROR, outcome.text
    said = sentence_of(outcome, case)
    assert f"transformer/{shard.name} has other bytes than the hub's" in said
    assert (
        f"; delete {min(str(blob), os.path.relpath(blob, ROOT), key=len)}, then run again where the hub can be" in said
    )
    assert {check.cause for record in outcome.records for check in record.checks} == {Cause.INPUT}
    assert all("bisect" not in record.next for record in outcome.records)


def test_a_hub_out_of_reach_is_one_sentence(hub: Hub) -> None:
    outcome = hub(*cases("flux1-dev/bf16-hub-bs1-eager"), *gates("calls"), HF_ENDPOINT=NOWHERE)
    assert outcome.code == ExitCode.ERROR, outcome.text
    sentence = sentence_of(outcome, "flux1-dev/bf16-hub-bs1-eager")
    assert sentence.startswith(f"{FLUX.repo} at {FLUX.revision} is not in the hub cache (")
    assert "and the hub cannot be reached (ConnectionRefusedError: [Errno 111] Connection refused)" in sentence
    assert sentence.endswith("run once with network, or set HF_HOME to a cache that has it, or use --checkpoint tiny")
