"""What each release of torch has under the private names that making code stands on, and what a toy counts there.

`python -m tests.suite.private_name_facts` adds the stack that runs it to traces/private-names.json, so that tests know
of every supported release without installing another torch. Run it in an environment of each release.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from fixtures.catalog import FORMATS
from fixtures.catalog.efficiencies import EFFICIENCIES
from fixtures.catalog.targets import B200
from fixtures.gates.verdict import Strict
from fixtures.pipelines.device_code.block_code import BlockCode
from fixtures.pipelines.device_code.generate import model_code
from fixtures.pipelines.device_code.private_names import found, names
from fixtures.results.files import write_atomic
from fixtures.stack.installed import installed
from tests.suite.toy_code import toy

FACTS = Path(__file__).parent / "traces" / "private-names.json"
GENERATORS = ("torch", "triton", "torchao", "mslk", "diffusers")


class ReleaseFacts(Strict):
    """What one stack was seen to have."""

    versions: dict[str, str]
    """Of what generates code, without builds."""
    names: dict[str, list[str] | None]
    """Private name -> parameters; None for what is no function of Python."""
    toy: dict[str, list[BlockCode]]
    """Format -> the code of the toy's blocks."""

    @property
    def release(self) -> str:
        """Of torch: `2.14`."""
        return ".".join(self.versions["torch"].split(".")[:2])


def generators() -> dict[str, str]:
    """The versions of what generates code here, without builds."""
    versions = installed().as_dict()
    return {name: versions[name].partition("+")[0] for name in GENERATORS}


def read_facts() -> dict[str, ReleaseFacts]:
    """Release of torch -> what was recorded of it."""
    every = [ReleaseFacts.model_validate_json(json.dumps(one)) for one in json.loads(FACTS.read_text("utf-8"))]
    return {one.release: one for one in every}


def parameters(thing: Any) -> list[str] | None:
    """What a function of Python is given, by name."""
    return list(inspect.signature(thing).parameters) if inspect.isfunction(thing) else None


def main() -> None:
    """Record this stack. Raises PrivateNameMoved."""
    here = ReleaseFacts(
        versions=generators(),
        names={name: parameters(found(name)) for name in names()},
        toy={name: list(model_code(toy(), FORMATS[name], 1, B200).blocks) for name in EFFICIENCIES.quantized},
    )
    every = (read_facts() if FACTS.exists() else {}) | {here.release: here}
    told = [every[release].model_dump(mode="json") for release in sorted(every)]
    write_atomic(FACTS, json.dumps(told, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
