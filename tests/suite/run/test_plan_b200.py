"""What the b200 lane asks of every published cell."""

from __future__ import annotations

from fixtures.catalog import FORMATS, Case, models
from fixtures.gates.registry import gates
from fixtures.run.options import RunOptions
from fixtures.run.plan import plan

PLANNED = plan(RunOptions(lane="b200"), "b200")


def test_every_published_cell_is_held_to_every_gate_that_can_speak_about_it() -> None:
    """At its own batch size, or where the gate needs no more at the first one, or at the first of its compile mode."""
    spoken = {
        (case.model, case.format, case.batch_size): names(case) for case in PLANNED.cases if case.checkpoint == "hub"
    }
    cells = {(model.name, *cell) for model in models().values() for cell in model.published}
    assert cells <= set(spoken)
    for model, kind_of_format, batch_size in cells:
        modes, kind = (
            models()[model].compile_modes,
            "reference" if FORMATS[kind_of_format].is_reference else "quantized",
        )
        for gate in gates().values():
            applies, mode = gate.applies, modes[batch_size]
            if "hub" not in applies.checkpoints or applies.formats not in ("all", kind):
                continue
            if applies.matmuls and FORMATS[kind_of_format].matmul not in applies.matmuls:
                continue
            if applies.modes and mode not in applies.modes:
                continue
            at = {
                "all": batch_size,
                "first": min(modes),
                "first of each mode": min(size for size, of in modes.items() if of == mode),
            }[applies.batches]
            assert gate.name in spoken[model, kind_of_format, at], (
                f"{gate.name} says nothing of {model} {kind_of_format} bs{batch_size}"
            )


def test_every_compile_mode_of_a_model_has_its_compile_gate() -> None:
    compiled = {(case.model, case.format, case.compile_mode) for case in PLANNED.cases if "compile" in names(case)}
    wanted = {
        (model.name, quantized, mode)
        for model in models().values()
        for mode in model.compile_modes.values()
        for quantized in ("bf16", "mxfp8", "nvfp4")
    }
    assert compiled == wanted


def names(case: Case) -> set[str]:
    return {gate.name for gate in PLANNED.gates[case]}
