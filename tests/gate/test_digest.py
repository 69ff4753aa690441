"""Says whether numerics moved at all since the baseline. Not red by itself; the most sensitive property to bisect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fixtures.catalog.schema import Case
from fixtures.gates.repeats import judge_digest


@pytest.mark.gate("digest")
def test_numerics_are_compared_with_the_baseline(case: Case, lab: Any, conclude: Callable[..., None]) -> None:
    """A hash of every denoiser output's bytes; comparable on the same CPU model only."""
    from fixtures.results.sections import Digest

    digest = lab.observation(case).digest
    checks = lab.against_baseline(
        case,
        "digest",
        "digest",
        lambda stored: [judge_digest(digest=digest, stored=stored.sha256["denoiser outputs"])],
    )
    conclude(checks, details={"digest": digest})
    lab.contribute(case, "digest", lambda: Digest(sha256={"denoiser outputs": digest}))
