"""The catalog holds together: names, limits and their sources, and what importing it costs."""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from fixtures.catalog import (
    FORMATS,
    LANES,
    cases_of,
    choose_lane,
    default_lane,
    kind_of,
    machines,
    meta_cases,
    models,
    parse_case,
    prompts,
)
from fixtures.catalog.common_limits import COMMON_LIMITS
from fixtures.catalog.lanes import B200, CPU
from fixtures.catalog.limits import Limits, TwoLimits, limits_of
from fixtures.catalog.metrics import METRICS
from fixtures.catalog.schema import Case, Checkpoint, CompileMode, Limit
from fixtures.gates.registry import gates, gates_of
from fixtures.gates.speed.judge import QUANTITIES

ROOT = Path(__file__).resolve().parents[3]
DRAWN: tuple[Checkpoint, ...] = ("tiny", "hub")
ANOTHER_PICTURE = 0.6
"""How far another prompt's picture lies at least: 0.62 to 0.71 with the tiny FLUX and LPIPS' AlexNet."""
JUDGED = {
    "arithmetic": {"weight", "activation", "product", "linear", "weight loss", "activation loss"},
    "reference": {
        *(f"lpips_{to}{which}" for to in ("to_stored", "bf16_to_float32") for which in ("", "_mean")),
        "sound_to_stored",
        "values_unlike_stored",
    },
    "quality": {"lpips_mean", "lpips_worst", "flicker_worst", "sound_mean", "sound_worst", "drift", "further"},
    "velocity": {"sqnr_worst_step"},
    "memory": {"peak"},
    "compile": {"compiled against eager"},
    "speed": {*QUANTITIES},
}
"""Gate -> the quantities that it judges against a limit."""


def limits() -> Iterator[tuple[str, Limit]]:
    """Every limit, and whose it is: a model's, a format's or nobody's."""
    yield from (("", limit) for limit in COMMON_LIMITS)
    yield from ((name, limit) for name, entry in FORMATS.items() for limit in entry.limits)
    yield from ((name, limit) for name, model in models().items() for limit in model.limits)


def all_cases() -> list[Case]:
    """Every case that a lane, a batch size or a compile mode of the catalog can make."""
    every = itertools.product(models().values(), FORMATS, get_args(Checkpoint), get_args(CompileMode))
    return [
        Case(model=model.name, format=name, checkpoint=checkpoint, batch_size=batch, compile_mode=mode)
        for model, name, checkpoint, mode in every
        for batch in {1, 2, *model.compile_modes}
    ]


def drawn_cases() -> set[Case]:
    """Every lane's cases with weights whose pictures mean something."""
    return {case for lane in LANES.values() for weights in DRAWN for case in cases_of(lane, checkpoint=weights)}


DECIDES = (
    "fixtures.gates.registry; fixtures.gates.registry.gates(); import fixtures.run.session, fixtures.report.page, "
    "fixtures.bisect.__main__, fixtures.compare.__main__, fixtures.nightly.__main__, fixtures.trend.__main__"
)


@pytest.mark.parametrize(
    ("imported", "heavy"),
    [
        ("fixtures.catalog; fixtures.catalog.models()", {"numpy", "pydantic", "pytest", "lpips"}),
        ("fixtures.numerics.registry; fixtures.numerics.registry.numerics()", {"pydantic", "pytest"}),
        (DECIDES, {"pytest", "lpips"}),
    ],
    ids=["catalog", "numerics", "what decides"],
)
def test_what_holds_data_or_decides_imports_nothing_under_test(imported: str, heavy: set[str]) -> None:
    """Import contracts see no difference between an import at the top and one inside a function; this does."""
    code = f"import sys, {imported}; print(sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stdout))
    assert not loaded & {"torch", "torchao", "diffusers", "transformers", *heavy}


# ---- limits --------------------------------------------------------------------------------------------------------


def test_limits_say_who_measured_them_and_speak_of_things_that_exist() -> None:
    for owner, limit in limits():
        assert len(limit.source) > 10, limit
        assert limit.unit, limit
        assert limit.gate in gates(), limit
        assert limit.quantity in JUDGED[limit.gate], limit
        assert set(limit.formats) <= set(FORMATS), limit
        assert set(limit.checkpoints) <= set(get_args(Checkpoint)), limit
        assert set(limit.machines) <= set(machines()), limit
        assert set(limit.metrics) <= set(METRICS), limit
        if limit.quantity.startswith("lpips"):
            assert limit.metrics, f"{limit} would compare distances of two metrics with one number"
        if owner in FORMATS:
            assert limit.formats == (owner,), limit
        if limit.batch_sizes:
            of = [models()[owner]] if owner in models() else models().values()
            assert set(limit.batch_sizes) <= {size for model in of for size in model.compile_modes}, limit


def test_every_limit_judges_some_case_and_at_most_one_a_quantity() -> None:
    speaking: set[int] = set()
    every = list(limits())
    for case in all_cases():
        of_gates = {gate.name for gate in gates_of(case, first_batch=1)}
        owned = [(index, one) for index, (owner, one) in enumerate(every) if owner in {"", case.model, case.format}]
        for machine, metric in itertools.product(machines(), METRICS):
            here = [(index, one) for index, one in owned if one.applies(case, machine, metric)]
            speaking |= {index for index, one in here if one.gate in of_gates}
            twice = Counter((one.gate, one.quantity) for _, one in here)
            assert max(twice.values(), default=1) == 1, f"{case.id} on {machine}: {twice.most_common(1)}"
    silent = [one for index, (_, one) in enumerate(every) if index not in speaking]
    assert not silent, "these limits select nothing"


def test_every_limit_without_which_a_gate_is_an_error_exists_on_every_machine() -> None:
    for case, machine in itertools.product(drawn_cases(), machines()):
        mean = "_mean" if case.checkpoint == "hub" else ""
        needed = {("reference", f"lpips_to_stored{mean}"), ("compile", "compiled against eager")}
        if models()[case.model].sampling(case.checkpoint).sound_rate is not None:
            needed.add(("reference", "sound_to_stored"))
        if machine == CPU.kind:
            needed.add(("reference", f"lpips_bf16_to_float32{mean}"))
        if not FORMATS[case.format].is_reference:
            needed |= {("arithmetic", quantity) for quantity in ("weight", "activation", "product", "linear")}
        for gate, quantity in needed:
            found = limits_of(case, gate, machine=machine, metric="lpips-alex").get(quantity)
            assert found is not None, f"{case.id}: nobody set {gate}.{quantity} on {machine}"


def test_published_speed_and_memory_judge_a_b200_and_nothing_else() -> None:
    case = parse_case("flux1-dev/nvfp4-hub-bs1-reduce-overhead")
    for machine in machines():
        known = limits_of(case, "speed", machine=machine).get("speedup"), limits_of(case, "memory", machine=machine)
        assert (known[0] is not None, bool(list(known[1]))) == (machine == B200.kind,) * 2


def test_every_limit_of_published_weights_names_what_was_published_for_it_or_is_not_settled() -> None:
    for _, limit in limits():
        if limit.checkpoints == ("hub",):
            assert limit.of or not limit.settled, limit
        if limit.of:
            assert ("mean" in limit.of) == limit.quantity.endswith("_mean"), limit
        if limit.quantity == "speedup":
            assert limit.machines, f"{limit} would judge a GPU by another one's floor"


def test_bf16_is_held_against_the_mean_of_each_models_own_figure_and_told_as_moved() -> None:
    for name, figure in (("flux1-dev", 0.11), ("qwen-image", 0.34), ("ltx-2", 0.11)):
        case = parse_case(f"{name}/bf16-hub-bs1-regional")
        found = limits_of(case, "reference", machine=B200.kind, metric="lpips-alex")
        (mean,) = (limit for limit in found if limit.quantity.startswith("lpips"))
        assert (mean.quantity, mean.ceiling, mean.settled) == ("lpips_to_stored_mean", figure, False)


def test_broken_pictures_can_lie_as_far_beyond_a_ceiling_as_they_must() -> None:
    for _, limit in limits():
        if limit.quantity == "lpips_mean" and limit.ceiling is not None:
            assert limit.control_factor >= 1.0
            assert limit.control_factor * limit.ceiling <= ANOTHER_PICTURE, limit


def test_two_limits_on_one_quantity_are_refused() -> None:
    one = Limit(gate="velocity", quantity="sqnr_worst_step", unit="dB", source="measured twice", floor=10.0)
    with pytest.raises(TwoLimits, match=r"2 limits apply to velocity\.sqnr_worst_step"):
        Limits(entries=(one, one)).get("sqnr_worst_step")


@pytest.mark.parametrize("name", [name for name, model in models().items() if "tiny" in model.samplings])
def test_every_quantity_of_a_tiny_checkpoint_has_its_limit(name: str) -> None:
    model = models()[name]
    sampling = model.sampling("tiny")
    unasked = {"drift"} | (set() if "num_frames" in sampling.call else {"flicker_worst"})  # a factor has a default
    unasked |= set() if sampling.sound_rate else {"sound_mean", "sound_worst", "sound_to_stored"}
    unasked |= {"lpips_to_stored_mean", "lpips_bf16_to_float32_mean"}  # of published weights: means were published
    for case in cases_of(LANES["cpu"], model_names=[name]):
        for gate in gates_of(case, first_batch=1):
            for quantity in JUDGED.get(gate.name, set()) - {"peak", *QUANTITIES} - unasked:
                for metric in METRICS:
                    found = limits_of(case, gate.name, machine=CPU.kind, metric=metric).get(quantity)
                    assert found is not None, f"{case.id}: no limit for {gate.name} {quantity} with {metric}"


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ({}, "needs a floor or a ceiling, and not both"),
        ({"floor": 1.0, "ceiling": 2.0}, "needs a floor or a ceiling, and not both"),
        ({"floor": 1.0, "source": " "}, "has no source; say who measured or published it"),
    ],
)
def test_a_limit_has_one_bound_and_a_source(numbers: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Limit(**{"gate": "speed", "quantity": "speedup", "unit": "x", "source": "somebody", **numbers})


# ---- names, cases, gates -------------------------------------------------------------------------------------------


def test_every_machine_has_one_default_lane_and_a_rehearsal_has_its_lanes_cases() -> None:
    for kind in machines():
        assert [lane.name for lane in LANES.values() if lane.default and lane.machine == kind] == [kind]
    for lane in LANES.values():
        if lane.rehearses is not None:
            cases = [replace(case, checkpoint=lane.checkpoint) for case in cases_of(LANES[lane.rehearses])]
            assert cases_of(lane) == cases
    assert choose_lane("hopper", "random").name == "hopper-full-size"
    assert choose_lane("hopper", "hub") == choose_lane("hopper", None) == LANES["hopper"]


@pytest.mark.parametrize(
    ("sm", "name", "kind"),
    [
        (None, "", "cpu"),
        ((8, 9), "NVIDIA L40S", "cpu"),
        ((9, 0), "NVIDIA H200", "hopper"),
        ((10, 0), "NVIDIA B200", "b200"),
        ((10, 3), "NVIDIA B300 SXM6 AC", "gpu"),
        ((10, 3), "NVIDIA GB300", "gb300"),
        ((12, 0), "NVIDIA RTX PRO 6000 Blackwell", "gpu"),
        ((12, 1), "NVIDIA GB10", "gpu"),
    ],
)
def test_a_compute_capability_is_one_kind_of_machine(sm: tuple[int, int] | None, name: str, kind: str) -> None:
    assert kind_of(sm, name) == kind
    assert default_lane(kind).records is (kind != "gpu"), "what is only measured keeps no baseline"


def test_case_ids_are_unique_and_read_back() -> None:
    every = all_cases()
    assert len({case.id for case in every}) == len(every)
    for case in every:
        assert parse_case(case.id) == case


def test_every_gate_speaks_about_some_case_of_a_lane_with_pictures() -> None:
    for lane in LANES.values():
        cases = [*cases_of(lane), *meta_cases()]
        spoken = {gate.name for case in cases for gate in gates_of(case, first_batch=1)}
        weights = {lane.checkpoint, "meta"}
        other_weights = {name for name, gate in gates().items() if weights.isdisjoint(gate.applies.checkpoints)}
        modes = {case.compile_mode for case in cases}
        elsewhere = {
            name for name, gate in gates().items() if gate.applies.modes and modes.isdisjoint(gate.applies.modes)
        }
        assert spoken == set(gates()) - elsewhere - other_weights, lane.name


@pytest.mark.parametrize("name", list(models()))
def test_a_model_is_pinned(name: str) -> None:
    model = models()[name]
    assert len(model.revision) == 40
    assert set(model.revision) <= set("0123456789abcdef")
    assert model.licence
    assert set(model.published) == {(f, batch) for f in ("bf16", "mxfp8", "nvfp4") for batch in model.compile_modes}
    for (format_name, batch), cell in model.published.items():
        reference = model.published["bf16", batch]
        if format_name == "bf16":
            assert cell.speedup is None
        else:
            assert cell.speedup == pytest.approx(reference.seconds / cell.seconds, abs=0.02)
            assert cell.peak_gb < reference.peak_gb
    for checkpoint, sampling in model.samplings.items():
        assert len(sampling.prompts) == len(set(sampling.prompts)) >= 8
        steps = sampling.call["num_inference_steps"]
        assert sampling.denoiser_calls % steps == 0, checkpoint


INPUTS_NOBODY_GIVES = ("image", "latents", "embeds", "callback", "mask", "ip_adapter")
WITHOUT_EFFECT = {
    "min_seconds": "num_frames",
    "max_seconds": "num_frames",
    "prompt_enhancement_kwargs": "enable_prompt_enhancement",
    "prompt_enhancement_seed": "enable_prompt_enhancement",
    "prompt_max_new_tokens": "enable_prompt_enhancement",
}
"""Argument -> the pinned argument that keeps the pipeline from reading it."""


@pytest.mark.parametrize("name", list(models()))
def test_every_argument_of_the_pipeline_is_pinned(name: str) -> None:
    """A default that changes tomorrow must not change the picture."""
    import inspect

    import diffusers

    model = models()[name]
    signature = inspect.signature(getattr(diffusers, model.pipeline).__call__)
    given = {"self", "prompt", "generator", "output_type", "return_dict"}
    for sampling in model.samplings.values():
        left = {
            parameter
            for parameter in set(signature.parameters) - set(sampling.call) - given
            if not any(word in parameter for word in INPUTS_NOBODY_GIVES)
            and WITHOUT_EFFECT.get(parameter) not in sampling.call
        }
        assert not left, f"{model.pipeline} of diffusers {diffusers.__version__} takes {sorted(left)}: pin them"
        assert set(sampling.call) <= set(signature.parameters)


def test_prompts_are_many_all_different_from_a_said_source_and_full_batches() -> None:
    every = (*prompts.PICTURES, *prompts.CLIPS)
    assert len(prompts.PICTURES) >= 32
    assert len({prompt.casefold() for prompt in every}) == len(every)
    assert all(20 <= len(prompt) <= 120 for prompt in every)
    assert "Source: " in (prompts.__doc__ or "")
    assert "Licence: " in (prompts.__doc__ or "")
    assert prompts.PICTURES[0] == prompts.SIGN
    drawn = {model.name: model.samplings["hub"].prompts for model in models().values()}
    assert {name for name, given in drawn.items() if given == prompts.PICTURES} == {"flux1-dev", "qwen-image"}
    # A last batch of another size would compile anew, and be drawn by other kernels than its neighbours.
    assert all(len(drawn[model.name]) % size == 0 for model in models().values() for size in model.compile_modes)
