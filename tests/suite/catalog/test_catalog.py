"""The catalog holds together: names, limits and their sources, and what importing it costs."""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from fixtures.catalog import FORMATS, GATES, LANES, cases_of, gates_of, limit_for, meta_cases, models, parse_case
from fixtures.catalog.common_limits import COMMON_LIMITS
from fixtures.catalog.schema import Case, Checkpoint, CompileMode, Limit, Machine
from fixtures.gates.speed.judge import QUANTITIES

ROOT = Path(__file__).resolve().parents[3]
METRICS = ("lpips-alex", "st-lpips-alex")
JUDGED = {
    "arithmetic": {"weight", "activation", "product", "linear", "weight loss", "activation loss"},
    "reference": {"lpips_to_stored", "lpips_bf16_to_float32", "sound_to_stored", "values_unlike_stored"},
    "quality": {"lpips_mean", "lpips_worst", "flicker_worst", "sound_mean", "sound_worst", "drift"},
    "velocity": {"sqnr_worst_step"},
    "memory": {"peak"},
    "compile": {"compiled against eager"},
    "speed": {*QUANTITIES},
}
"""Gate -> the quantities that it judges against a limit."""


def limits() -> Iterator[tuple[str, Limit]]:
    """Every limit, and whose it is."""
    yield from (("common", limit) for limit in COMMON_LIMITS)
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


def test_importing_the_catalog_imports_nothing_heavy() -> None:
    code = (
        "import sys, fixtures.catalog as catalog; catalog.models(); "
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stdout))
    assert not loaded & {"torch", "torchao", "diffusers", "transformers", "numpy", "pytest", "pydantic", "lpips"}


@pytest.mark.parametrize(
    ("package", "allowed", "numbers"),
    [("catalog", {"catalog"}, set()), ("judge", {"catalog", "judge"}, {"numpy", "scipy"})],
    ids=["catalog", "judge"],
)
def test_layers_import_only_what_lies_below_them(package: str, allowed: set[str], numbers: set[str]) -> None:
    for path in (ROOT / "fixtures" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in named:
                root, _, rest = name.partition(".")
                if root == "fixtures":
                    assert rest.partition(".")[0] in allowed, f"{path} imports {name}"
                else:
                    assert root in sys.stdlib_module_names | numbers, f"{path} imports {name}"


def test_only_the_plugin_knows_pytest_and_only_builders_import_torch() -> None:
    torch_at_top = {"build", "measure", "checkpoints", "faults", "lab.py", "observed.py"}
    for path in (ROOT / "fixtures").rglob("*.py"):
        part = path.relative_to(ROOT / "fixtures").parts[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {alias.name.partition(".")[0] for node in top if isinstance(node, ast.Import) for alias in node.names}
        names |= {(node.module or "").partition(".")[0] for node in top if isinstance(node, ast.ImportFrom)}
        assert "pytest" not in names or part == "plugin", path
        assert not names & {"torch", "torchao", "diffusers"} or part in torch_at_top, path


# ---- limits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("owner", "limit"), list(limits()), ids=lambda value: getattr(value, "quantity", value))
def test_a_limit_says_who_measured_it_and_speaks_of_things_that_exist(owner: str, limit: Limit) -> None:
    assert len(limit.source) > 10, limit
    assert limit.unit, limit
    assert limit.gate in GATES, limit
    assert limit.quantity in JUDGED[limit.gate], limit
    assert set(limit.formats) <= set(FORMATS), limit
    assert set(limit.checkpoints) <= set(get_args(Checkpoint)), limit
    assert set(limit.machines) <= set(get_args(Machine)), limit
    assert set(limit.metrics) <= set(METRICS), limit
    if limit.quantity.startswith("lpips"):
        assert limit.metrics, f"{limit} would compare distances of two metrics with one number"
    if owner in FORMATS:
        assert limit.formats == (owner,), limit
    if limit.batch_sizes:
        of = [models()[owner]] if owner in models() else models().values()
        assert set(limit.batch_sizes) <= {size for model in of for size in model.compile_modes}, limit


@pytest.mark.parametrize(("owner", "limit"), list(limits()), ids=lambda value: getattr(value, "quantity", value))
def test_a_limit_judges_some_case_of_some_gate(owner: str, limit: Limit) -> None:
    machines, metrics = limit.machines or get_args(Machine), limit.metrics or METRICS
    speaking = [
        case
        for case in all_cases()
        if owner in {"common", case.model, case.format}
        and GATES[limit.gate] in gates_of(case, first_batch=1)
        and any(limit.applies(case, machine, metric) for machine in machines for metric in metrics)
    ]
    assert speaking, f"{limit} of {owner} selects nothing"


def test_at_most_one_limit_judges_a_quantity() -> None:
    for case in all_cases():
        model, entry = models()[case.model], FORMATS[case.format]
        own = (*COMMON_LIMITS, *entry.limits, *model.limits)
        for gate, quantities in JUDGED.items():
            for quantity in quantities:
                for machine, metric in itertools.product(get_args(Machine), METRICS):
                    limit_for(own, gate=gate, quantity=quantity, case=case, machine=machine, metric=metric)


def test_two_limits_on_one_quantity_are_refused() -> None:
    one = Limit(gate="velocity", quantity="sqnr_worst_step", unit="dB", source="measured twice", floor=10.0)
    case = parse_case("flux1-dev/nvfp4-tiny-bs1-eager")
    with pytest.raises(ValueError, match=r"2 limits apply to velocity\.sqnr_worst_step of flux1-dev/nvfp4"):
        limit_for([one, one], gate="velocity", quantity="sqnr_worst_step", case=case, machine="cpu")


@pytest.mark.parametrize("name", [name for name, model in models().items() if "tiny" in model.samplings])
def test_every_quantity_of_a_tiny_checkpoint_has_its_limit(name: str) -> None:
    model = models()[name]
    sampling = model.sampling("tiny")
    unasked = {"drift"} | (set() if "num_frames" in sampling.call else {"flicker_worst"})  # a factor has a default
    unasked |= set() if sampling.sound_rate else {"sound_mean", "sound_worst", "sound_to_stored"}
    for case in cases_of(LANES["cpu"], model_names=[name]):
        own = (*COMMON_LIMITS, *FORMATS[case.format].limits, *model.limits)
        for gate in gates_of(case, first_batch=1):
            for quantity in JUDGED.get(gate.name, set()) - {"peak", *QUANTITIES} - unasked:
                for metric in METRICS:
                    found = limit_for(own, gate=gate.name, quantity=quantity, case=case, machine="cpu", metric=metric)
                    assert found is not None, f"{case.id}: no limit for {gate.name} {quantity} with {metric}"


@pytest.mark.parametrize(("floor", "ceiling"), [(None, None), (1.0, 2.0)])
def test_a_limit_has_one_bound(floor: float | None, ceiling: float | None) -> None:
    with pytest.raises(ValueError, match="needs a floor or a ceiling, and not both"):
        Limit(gate="speed", quantity="speedup", unit="x", source="somebody", floor=floor, ceiling=ceiling)


def test_a_limit_without_a_source_is_refused() -> None:
    with pytest.raises(ValueError, match="has no source; say who measured or published it"):
        Limit(gate="speed", quantity="speedup", unit="x", source=" ", floor=1.0)


# ---- names, cases, gates -------------------------------------------------------------------------------------------


def test_entries_go_by_their_own_names() -> None:
    for entries in (models(), FORMATS, GATES):
        for name, entry in entries.items():
            assert entry.name == name
    for machine, lane in LANES.items():
        assert lane.machine == machine


def test_case_ids_are_unique_and_read_back() -> None:
    every = all_cases()
    assert len({case.id for case in every}) == len(every)
    for case in every:
        assert parse_case(case.id) == case


@pytest.mark.parametrize("lane", list(LANES))
def test_every_gate_speaks_about_some_case_of_a_lane(lane: str) -> None:
    spoken: Counter[str] = Counter()
    for case in [*cases_of(LANES[lane]), *meta_cases()]:
        spoken.update(gate.name for gate in gates_of(case, first_batch=1))
    assert set(spoken) == set(GATES)


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
