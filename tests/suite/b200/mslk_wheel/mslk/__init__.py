"""mslk as far as the lane needs it: its NVFP4 quantizer, and a C++ library that may not load."""

import json
import os
from pathlib import Path

__version__ = "1.1.0"

if os.environ.get("MSLK_PYTHON_ONLY") != "1":
    _host = json.loads(Path(os.environ["SIMULATED_HOST"]).read_text(encoding="utf-8"))
    if not _host["mslk_library_loads"]:
        raise ImportError("mslk.so: undefined symbol: _ZN3c104cuda29c10_cuda_check_implementationEiPKcS2_jb")
