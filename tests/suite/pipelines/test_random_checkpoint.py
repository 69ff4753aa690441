"""`--checkpoint random`: the published architectures with seeded weights, on the CPU as toys of the same classes."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch

from fixtures.catalog import cases_of, choose_lane
from fixtures.catalog.schema import Case, Model
from fixtures.gates.registry import gates_of
from fixtures.gates.verdict import Verdict
from fixtures.pipelines.architecture import ArchitectureError, denoiser_on_meta, linears
from fixtures.pipelines.built import Pipelines
from fixtures.pipelines.observe import observe
from fixtures.pipelines.random_weights import DenoiserOnly, random_denoiser, shared_copy
from fixtures.pipelines.storage import storage_bytes
from tests.suite.gate_runs import Gate, cases, gates
from tests.suite.toy_models import toy_models

NAMES = ("flux1-dev", "qwen-image", "ltx-2")


@cache
def toys() -> dict[str, Model]:
    return toy_models()


def case_of(model: str, format: str = "bf16", batch_size: int = 1) -> Case:
    return Case(model=model, format=format, checkpoint="random", batch_size=batch_size, compile_mode="eager")


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Pipelines:
    monkeypatch.setattr("fixtures.pipelines.built.models", toys)
    return Pipelines(device="cpu", capability=None)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_seeded_bf16_and_of_the_published_shapes(name: str) -> None:
    model = toys()[name]
    one, other = (random_denoiser(model, device="cpu") for _ in range(2))
    assert {parameter.dtype for parameter in one.parameters()} == {torch.bfloat16}
    assert [linear.name for linear in linears(one)] == [linear.name for linear in linears(denoiser_on_meta(model))]
    for (key, value), (_, again) in zip(one.state_dict().items(), other.state_dict().items(), strict=True):
        assert torch.equal(value, again), key
    third = random_denoiser(model, device="cpu", seed=1)
    assert not torch.equal(next(iter(one.parameters())), next(iter(third.parameters())))


@pytest.mark.parametrize("name", NAMES)
def test_the_real_pipeline_runs_without_prompt_encoders_and_autoencoders(name: str, workshop: Pipelines) -> None:
    seen = observe(workshop.subject(case_of(name)), batch_size=2, keep=1, calls=1)
    model = toys()[name]
    assert seen.calls == [model.sampling("random").denoiser_calls]
    outputs = [step.outputs[0].float() for step in seen.trajectory[0]]
    assert all(torch.isfinite(output).all() for output in outputs)
    # Neither dead nor exploding: the scale of what a trained denoiser predicts.
    assert all(0.1 < float(output.std()) < 3 for output in outputs)
    assert seen.pictures.shape[0] == 2


def test_a_step_has_the_shapes_of_the_catalogs_denoiser_inputs() -> None:
    """At full size the pipeline makes exactly the inputs that roofline and memory are counted with."""
    for model in toys().values():
        made: list[dict[str, object]] = []
        denoiser = random_denoiser(model, device="cpu")
        denoiser.register_forward_hook(lambda module, args, kwargs, out: made.append(kwargs), with_kwargs=True)  # noqa: B023
        DenoiserOnly(model, denoiser)(
            prompt=["x"], generator=torch.Generator().manual_seed(0), output_type="np", **model.sampling("random").call
        )
        for name in ("encoder_hidden_states", "pooled_projections"):
            if name in model.inputs:
                tensor = made[0][name]
                assert isinstance(tensor, torch.Tensor)
                assert tuple(tensor.shape) == model.inputs[name].sized(model.rows_per_sample)


def test_an_architecture_that_the_installed_diffusers_refuses_is_one_sentence() -> None:
    broken = copy.copy(toys()["flux1-dev"])
    object.__setattr__(broken, "architecture", {**broken.architecture, "num_layers": "many"})
    with pytest.raises(ArchitectureError, match="cannot be built from the published config of flux1-dev"):
        random_denoiser(broken, device="cpu")


def test_a_shared_copy_costs_nothing_until_a_weight_is_replaced() -> None:
    plain = random_denoiser(toys()["flux1-dev"], device="cpu")
    other = shared_copy(plain)
    both = torch.nn.ModuleList([plain, other])
    assert storage_bytes(both) == storage_bytes(plain)
    first = next(name for name, child in other.named_modules() if isinstance(child, torch.nn.Linear))
    linear = other.get_submodule(first)
    linear.weight = torch.nn.Parameter(torch.zeros_like(linear.get_parameter("weight")), requires_grad=False)
    assert plain.get_submodule(first).get_parameter("weight").any()
    assert storage_bytes(both) > storage_bytes(plain)


@pytest.mark.parametrize("format", ["fp8", "nvfp4"])
def test_quantizing_leaves_the_reference_as_it_was_and_shares_the_rest(workshop: Pipelines, format: str) -> None:
    reference = workshop.subject(case_of("flux1-dev"))
    before = {name: value.clone() for name, value in reference.denoiser.state_dict().items()}
    subject = workshop.subject(case_of("flux1-dev", format))
    assert len(subject.linears) == toys()["flux1-dev"].quantized_linears
    assert all(torch.equal(value, before[name]) for name, value in reference.denoiser.state_dict().items())
    bias = "transformer_blocks.0.attn.to_q.bias"
    assert subject.denoiser.get_parameter(bias).data_ptr() == reference.denoiser.get_parameter(bias).data_ptr()


def test_formats_batches_and_compile_modes_share_one_loaded_reference(
    workshop: Pipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []

    def counting(model: Model, **options: str) -> torch.nn.Module:
        built.append(model.name)
        module: torch.nn.Module = random_denoiser(model, device=options["device"])
        return module

    monkeypatch.setattr("fixtures.pipelines.built.random_denoiser", counting)
    reference = workshop.reference_of(case_of("flux1-dev", "fp8"))
    for name, batch_size in (("fp8", 1), ("mxfp8", 1), ("nvfp4", 2), ("fp8", 2)):
        case = case_of("flux1-dev", name, batch_size)
        workshop.subject(case)
        assert workshop.reference_of(case) is reference
    assert built == ["flux1-dev"]


def test_another_compile_mode_shares_the_weights(workshop: Pipelines) -> None:
    eager = workshop.subject(case_of("flux1-dev"))
    regional = workshop.subject(
        Case(model="flux1-dev", format="bf16", checkpoint="random", batch_size=1, compile_mode="regional")
    )
    assert regional.denoiser is not eager.denoiser
    assert storage_bytes(workshop.denoisers()) == storage_bytes(eager.denoiser)


def test_the_hopper_lane_is_full_size_compiled_and_judges_every_gate_without_pictures() -> None:
    lane = choose_lane("hopper", "random")
    found = cases_of(lane, checkpoint="random")
    assert {case.model for case in found} == set(NAMES)
    assert {case.batch_size for case in found} == {1, 4}
    assert {case.compile_mode for case in found if case.format in {"mxfp8", "nvfp4"}} == {"eager"}
    assert {case.compile_mode for case in found if case.format == "fp8"} <= {"regional", "reduce-overhead"}
    names = {gate.name for gate in gates_of(case_of("flux1-dev", "fp8"), first_batch=1)}
    assert names == {"manifest", "memory", "arithmetic", "calls", "kernels", "attention", "compile", "speed"}
    assert choose_lane("hopper", None).checkpoint == "tiny"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    scratch = tmp_path_factory.mktemp("random")
    return Gate(scratch=scratch, baselines=scratch / "baselines", checkpoints=None, plugin="tests.suite.toy_models")


def test_the_gate_runs_on_random_weights(gate: Gate) -> None:
    bf16, fp8 = case_of("flux1-dev").id, case_of("flux1-dev", "fp8").id
    options = ["--checkpoint", "random", "--batch", "1", *cases(bf16, fp8)]
    options += gates("manifest", "memory", "arithmetic", "calls", "kernels", "speed")
    recorded = gate(*options, "--rebaseline", "--reason", "toy")
    assert recorded.code == 0, recorded.text
    again = gate(*options)
    assert again.code == 0, again.text
    assert again.verdicts(fp8) == dict.fromkeys(
        ["manifest", "memory", "arithmetic", "calls", "kernels"], Verdict.PASS
    ) | {"speed": Verdict.SKIP}
    assert again.verdicts(bf16) == {"calls": Verdict.PASS}
    assert again.says("emulated here: its time at full size says nothing of hardware")


def test_a_case_that_runs_out_of_memory_is_an_error_and_the_others_run(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = DenoiserOnly.__call__

    def full(self: DenoiserOnly, *, prompt: list[str], **call: object) -> object:
        if len(prompt) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ...")
        return whole(self, prompt=prompt, **call)  # type: ignore[arg-type]

    monkeypatch.setattr(DenoiserOnly, "__call__", full)
    small, large = case_of("flux1-dev", "fp8").id, case_of("flux1-dev", "fp8", 4).id
    options = ["--checkpoint", "random", "--batch", "1", "--batch", "4", *cases(large, small)]
    outcome = gate(*options, *gates("kernels", "calls", "memory"))
    assert outcome.verdicts(large) == {"memory": Verdict.PASS, "kernels": Verdict.ERROR, "calls": Verdict.ERROR}
    assert set(outcome.verdicts(small).values()) == {Verdict.PASS}
    for name in ("kernels", "calls"):
        message = outcome.record(name, large).message
        assert f"{large}: out of memory at batch 4" in message
        assert "21.47 GB more asked for" in message
    assert outcome.code == 7
