"""Culprits among published releases, each checked against the release's own code. Needs the package index.

The bisect is whole, with wheels from the index and an installer's own work; in place of the suite stands a program that
reads the installed package's source, so that no torch is needed. Runs of the suite itself are in
docs/studies/bisect-transcripts.md.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fixtures.bisect import __main__ as bisect
from fixtures.bisect.answer import Answer
from fixtures.bisect.probe import ProbeTools
from fixtures.stack.finder import here
from fixtures.stack.index import IndexSilent, configured_sources, offered
from fixtures.stack.versions import Release, find, usable, wanted
from fixtures.stack.wheels import NoWheel, WheelCache, default_root

CASE = "flux1-dev/nvfp4-tiny-bs1-eager"
READER = """
import hashlib, importlib.util, json, pathlib, re, sys
out = pathlib.Path(sys.argv[sys.argv.index("--results") + 1]) / "latest"
gate = sys.argv[sys.argv.index("--gate") + 1]
(package,) = importlib.util.find_spec("torchao").submodule_search_locations
source = (pathlib.Path(package) / "prototype/mx_formats/nvfp4_tensor.py").read_text()
rounding = source[source.index("def nvfp4_quantize"):].partition("data_scaled = torch.clamp")[0]
digest = hashlib.sha256(re.sub(r"#.*", "", rounding).encode()).hexdigest()
missing = not (pathlib.Path(package) / "dtypes/uintx/uint4_layout.py").exists()
verdict = "error" if gate == "manifest" and missing else "pass"
checks = [{"name": gate, "verdict": "error", "cause": "import failed", "what": "torchao.dtypes"}] if missing else []
record = {"schema": 2, "run": "x", "case": "c", "gate": gate, "verdict": verdict, "arithmetic": "none",
          "message": "importing torchao.dtypes.uintx.uint4_layout fails" if missing else "there", "checks": checks,
          "result": {"digest": digest} if gate == "digest" else {}, "reproduce": ["r"]}
out.mkdir(parents=True)
(out / "records.jsonl").write_text(json.dumps(record) + "\\n")
"""


@pytest.fixture(scope="module")
def torchao() -> list[Release]:
    try:
        files = offered("torchao", configured_sources())
    except IndexSilent as silent:
        pytest.skip(str(silent))
    releases = wanted(usable(files, here())[0], nightlies=False)
    if not {"0.15.0", "0.16.0", "0.17.0", "0.18.0"} <= {str(release.version) for release in releases}:
        pytest.skip("the package index does not offer torchao 0.15.0 to 0.18.0 for this Python and platform")
    return releases


@pytest.fixture
def reader(tmp_path: Path) -> ProbeTools:
    root = tmp_path / "suite"
    root.mkdir()
    (root / "pytest.py").write_text(READER)
    environment = tmp_path / "base"
    subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", str(environment)], check=True)
    return ProbeTools(suite=root, base=environment)


@pytest.mark.parametrize(("gate", "good", "bad"), [("digest", "0.16.0", "0.17.0"), ("import", "0.15.0", "0.16.0")])
def test_released_wheels_lead_to_the_change_in_their_own_code(
    tmp_path: Path, torchao: list[Release], reader: ProbeTools, gate: str, good: str, bad: str
) -> None:
    ends = ["--good", "torchao=0.15.0", "--bad", "torchao=0.18.0"]
    kept = ["--out", str(tmp_path / "out"), "--cache", str(default_root())]
    code = bisect.main(["--case", CASE, "--gate", gate, *ends, *kept], tools=reader)
    answer = Answer.model_validate_json((tmp_path / "out" / "bisect.json").read_text())
    assert code == 0, answer.sentence
    (step,) = answer.culprits[0].steps
    assert (step.last_good.version, step.first_bad.version) == (good, bad)
    assert answer.counts["search"] <= answer.counts["bound"]
    assert len(step.first_bad.sha256) == 64


def source_of(releases: list[Release], version: str, name: str) -> str | None:
    """A file of a released wheel, or None where the wheel has none of that name."""
    try:
        wheel, _ = WheelCache(default_root()).fetch(releases[find(releases, version, "package")])
    except NoWheel as problem:
        pytest.skip(str(problem))
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name).decode() if name in archive.namelist() else None


def test_torchao_0_17_rounds_nvfp4_by_a_reciprocal(torchao: list[Release]) -> None:
    """What moves every NVFP4 digest: data are multiplied by a reciprocal and no longer divided by the scale."""
    name = "torchao/prototype/mx_formats/nvfp4_tensor.py"
    before, after = source_of(torchao, "0.16.0", name), source_of(torchao, "0.17.0", name)
    assert before is not None
    assert after is not None
    assert "data_scaled = data_hp / total_scale" in before
    assert "data_scaled = data_hp * reciprocal_scale" in after
    assert "data_hp / total_scale" not in after


def test_torchao_0_16_took_away_what_diffusers_0_36_cannot_miss(torchao: list[Release]) -> None:
    """diffusers 0.36.0 expects the import to fail and then uses a logger that it defines only further down."""
    gone = "torchao/dtypes/uintx/uint4_layout.py"
    assert source_of(torchao, "0.15.0", gone) is not None
    assert source_of(torchao, "0.16.0", gone) is None
    diffusers = wanted(usable(offered("diffusers", configured_sources()), here())[0], nightlies=False)
    quantizer = source_of(diffusers, "0.36.0", "diffusers/quantizers/torchao/torchao_quantizer.py")
    assert quantizer is not None
    assert "from torchao.dtypes.uintx.uint4_layout import UInt4Tensor" in quantizer
    assert quantizer.index("logger.warning(") < quantizer.index("logger = logging.get_logger")
    mended = source_of(diffusers, "0.37.0", "diffusers/quantizers/torchao/torchao_quantizer.py")
    assert mended is not None
    assert mended.index("logger = logging.get_logger") < mended.index("logger.warning(")


def test_diffusers_0_39_flattens_torchao_tensors_before_it_saves_them() -> None:
    """What mends the round trip: safetensors cannot hold tensor subclasses, and 0.38.0 handed them over as they are."""
    try:
        files = offered("diffusers", configured_sources())
    except IndexSilent as silent:
        pytest.skip(str(silent))
    releases = wanted(usable(files, here())[0], nightlies=False)
    name = "diffusers/quantizers/torchao/torchao_quantizer.py"
    before, after = source_of(releases, "0.38.0", name), source_of(releases, "0.39.0", name)
    assert before is not None
    assert after is not None
    assert "flatten_tensor_state_dict" not in before
    assert "flatten_tensor_state_dict(state_dict)" in after
