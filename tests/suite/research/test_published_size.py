"""A hub cache of random weights is loaded as the published repository would be."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

from fixtures import ROOT
from fixtures.catalog import models
from fixtures.pipelines.load import SHIPPED
from fixtures.research.published_size import write

DRAWS = """
from fixtures.catalog import models
from fixtures.pipelines.load import load_pipeline
loaded = {name: load_pipeline(model, "hub") for name, model in models().items()}
call = {"height": 64, "width": 64, "num_inference_steps": 1, "max_sequence_length": 40, "output_type": "np"}
pipe = loaded["flux1-dev"]
print(sorted(loaded), pipe("a small red ring", **call).images.shape, pipe.scheduler.config.use_dynamic_shifting)
"""


def test_a_written_cache_is_the_published_repository(tmp_path: Path) -> None:
    for model in models().values():
        sizes = {
            name: json.loads((SHIPPED / model.name / name / "config.json").read_text(encoding="utf-8"))
            for name in model.components
        }
        small = {
            name: dataclasses.replace(
                component, config={key: value for key, value in sizes[name].items() if key in component.config}
            )
            for name, component in model.components.items()
        }
        write(dataclasses.replace(model, components=small), tmp_path, device="cpu")
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", DRAWS], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == [f"{sorted(models())} (1, 64, 64, 3) True"], done.stderr
