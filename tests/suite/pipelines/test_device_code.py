"""Code of a toy's blocks, made for a B200 on this machine: what it counts, and that nothing here is left changed."""

from __future__ import annotations

import inspect
import pickle
import re
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="code is made where Triton is installed")

from fixtures.catalog import FORMATS, cases_of
from fixtures.catalog.lanes import LANES
from fixtures.catalog.limits import Limits
from fixtures.catalog.schema import Case
from fixtures.catalog.targets import B200, H200
from fixtures.faults import catalog, find
from fixtures.gates.base import Missing
from fixtures.gates.code import GATE
from fixtures.gates.code.gate import CodeKept, CodeResult
from fixtures.gates.verdict import Cause, Verdict, settle
from fixtures.pipelines import code_maker as maker
from fixtures.pipelines.device_code import private_names
from fixtures.pipelines.device_code.block_code import ModelCode
from fixtures.pipelines.device_code.generate import model_code
from fixtures.pipelines.device_code.private_names import (
    USED,
    PrivateNameMoved,
    answers,
    generating,
    missing_names,
    names,
    private,
)
from fixtures.pipelines.device_code.read import read_source, without_place
from tests.suite.private_name_facts import generators, read_facts
from tests.suite.toy_code import toy

RECORDING = Missing(reason="recording", cause=Cause.RECORDING)


@pytest.fixture(scope="module")
def healthy() -> dict[str, ModelCode]:
    return {name: model_code(toy(), FORMATS[name], 1, B200) for name in ("mxfp8", "nvfp4")}


def result(code: ModelCode, matmul: str) -> CodeResult:
    return CodeResult(target=B200.assembled, matmul=matmul, blocks=code.blocks, graph_breaks=code.graph_breaks)


@pytest.mark.parametrize("name", ["mxfp8", "nvfp4"])
def test_healthy_blocks_pass_without_a_baseline(healthy: dict[str, ModelCode], name: str) -> None:
    code = healthy[name]
    said = settle(GATE.judge(result(code, name), Limits(), RECORDING))
    assert said.verdict is Verdict.PASS, said.message
    found = [(block.name, block.repeats, block.quantized_linears) for block in code.blocks]
    assert found == [("FluxSingleTransformerBlock", 2, 6)]
    for block in code.blocks:
        assert block.count("aten._scaled_dot_product_cudnn_attention") == 1
        assert "def call(" in code.sources[block.name]
    assert not torch.cuda.is_available() or torch.cuda.device_count()
    assert torch.empty(1).is_cuda is False


@pytest.mark.parametrize("name", [name for name, fault in catalog().items() if set(fault.red) == {"code"}])
def test_a_fault_is_caught_by_name(healthy: dict[str, ModelCode], name: str) -> None:
    fault = find(name)
    with fault.injected():
        broken = model_code(toy(), FORMATS[fault.format], 1, B200)
    stored = CodeKept(blocks=healthy[fault.format].blocks)
    said = settle(GATE.judge(result(broken, fault.format), Limits(), stored))
    assert said.verdict is Verdict.FAIL
    assert re.search(fault.fails["code"], said.message), said.message


def test_every_private_name_is_in_the_installed_stack() -> None:
    assert missing_names() == []


def test_a_private_name_that_moved_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(USED, "compile_fx", "torch._inductor.compile_fx:compile_effects")
    assert missing_names() == ["torch._inductor.compile_fx:compile_effects"]
    with pytest.raises(PrivateNameMoved, match=r"torch\._inductor\.compile_fx\.compile_effects is not in") as raised:
        private("compile_fx")
    assert Cause(raised.value.cause) is Cause.PRIVATE_NAME_MOVED
    assert raised.value.what == "torch._inductor.compile_fx:compile_effects"


def test_a_private_name_that_moved_is_told_by_another_process_too() -> None:
    moved = pickle.loads(pickle.dumps(PrivateNameMoved("torch._inductor.graph:GraphLowering.codegen")))
    assert moved.what == "torch._inductor.graph:GraphLowering.codegen"
    assert str(moved).startswith("torch._inductor.graph.GraphLowering.codegen is not in the installed stack")


def test_a_setting_or_a_word_of_a_kernel_that_moved_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fixtures.pipelines.device_code.generate.MOVED", "kernel_gigabytes")
    with pytest.raises(PrivateNameMoved, match=r"TritonCompileResult\.inductor_meta\['kernel_gigabytes'\] is not in"):
        model_code(toy(), FORMATS["bf16"], 1, B200)
    monkeypatch.setitem(private_names.SETTINGS, "keep_every_cubin", True)
    assert missing_names() == ["torch._inductor.config:keep_every_cubin"]
    with pytest.raises(PrivateNameMoved, match=r"torch\._inductor\.config\.keep_every_cubin is not in"), generating():
        pass


@pytest.mark.parametrize("release", ["2.11", "2.13", "2.14", "2.15"])
def test_a_release_of_torch_has_every_private_name_and_made_whole_code(release: str) -> None:
    """Seen by `python -m tests.suite.private_name_facts` in an environment of each release."""
    facts = read_facts()[release]
    assert [name for name in names() if name not in facts.names] == [], "look at that release, and record it anew"
    for name, answer in answers(B200).items():
        asked = facts.names[name]
        if asked is not None:
            inspect.signature(getattr(answer, "__func__", answer)).bind(*asked)
    for matmul, blocks in facts.toy.items():
        seen = CodeResult(target=B200.assembled, matmul=matmul, blocks=tuple(blocks))
        said = settle(GATE.judge(seen, Limits(), RECORDING))
        red = {check.name for check in said.checks if check.verdict is not Verdict.PASS}
        # torch 2.11 rounds MXFP8's scales without the instruction that 2.13 has for it.
        assert red == ({"conversions"} if (release, matmul) == ("2.11", "mxfp8") else set()), said.message


def test_the_installed_stack_makes_what_was_recorded_of_it(healthy: dict[str, ModelCode]) -> None:
    same = [facts for facts in read_facts().values() if facts.versions == generators()]
    if not same:
        pytest.skip("nothing was recorded of just this stack")
    for name, code in healthy.items():
        assert list(code.blocks) == same[0].toy[name]


SOURCE = '''
from torch._inductor.async_compile import AsyncCompile
async_compile = AsyncCompile()
# a comment of the generator
triton_poi_fused_add_0 = async_compile.triton('triton_poi_fused_add_0', """
import triton
@triton.jit
def triton_poi_fused_add_0(in_ptr0, xnumel):
    pass
def get_args():
    pass
""", device_str='cuda')

class Runner:
    def call(self, args):
        triton_poi_fused_add_0.run(1, stream=0)
        extern_kernels.mm(1, 2, out=3)
        buf = torch.ops.ao.mslk_quantize_nvfp4.default(1, 2)
        triton_poi_fused_add_0.run(2, stream=0)
        reinterpret_tensor(buf, (1,))
'''


def test_generated_source_is_read_by_its_syntax() -> None:
    found = read_source(SOURCE)
    assert found.kernels == {"triton_poi_fused_add_0": 2}
    assert found.others == {"extern_kernels.mm": 1, "ao.mslk_quantize_nvfp4": 1}
    assert "get_args" not in found.text
    assert "comment" not in found.text
    assert without_place("triton_poi_fused_add_10") == "triton_poi_fused_add"
    with pytest.raises(ValueError, match="no function `call`"):
        read_source("x = 1")


def test_code_is_made_once_for_a_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, healthy: dict[str, ModelCode]
) -> None:
    case = Case(model="flux1-dev", format="mxfp8", checkpoint="meta", batch_size=1, compile_mode="eager")
    made = maker.CodeMaker(planned=[(case, B200)], folder=tmp_path)
    made._path((case, B200)).write_bytes(maker._CODE.dump_json(healthy["mxfp8"]))
    assert made.of(case, B200) == healthy["mxfp8"]
    monkeypatch.setattr(maker, "fingerprint", lambda: "another stack")
    assert made._kept((case, B200)) is None
    assert made._path((case, H200)) != made._path((case, B200))


def test_the_lane_makes_every_batch_and_no_weights() -> None:
    assert cases_of(LANES["code"]) == []
    assert LANES["code"].thorough
    assert LANES["b200"].thorough
