"""The same seed gives the same picture, again in this process and in a new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.gates.repeats import judge_repeats


@pytest.mark.gate("determinism")
def test_same_seed_gives_same_picture(case: Case, lab: Any, gate_run: Any, conclude: Callable[..., None]) -> None:
    """Hashes of every denoiser output of the first pipeline call; the new process is the suite itself."""
    first = lab.first_digest(case)
    again = None if gate_run.replaying else lab.draw_again(case)
    elsewhere = None if gate_run.replaying else gate_run.digest_of_new_process()
    conclude(
        judge_repeats(first=first, again=again, elsewhere=elsewhere, replaying=gate_run.replaying),
        details={"first": first, "again": again, "new_process": elsewhere},
    )
