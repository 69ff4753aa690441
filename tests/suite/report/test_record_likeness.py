"""Cases that look like the same known faults are told once."""

from __future__ import annotations

from fixtures.report.likeness import grouped

LIKE = "looks like ao 1: bias_is_dropped (what it did) by"


def test_cases_that_look_alike_are_one_line() -> None:
    said = {
        "a/nvfp4-tiny-bs1-eager": [f"{LIKE} 100% of the evidence: x"],
        "b/nvfp4-tiny-bs1-eager": ["looks like another (else) by 60% of the evidence: z"],
        "a/nvfp4-tiny-bs2-eager": [f"{LIKE} 90% of the evidence: x; but y only there"],
    }
    assert grouped(said) == [
        ("a/nvfp4-tiny-bs1-eager (and 1 more)", said["a/nvfp4-tiny-bs1-eager"]),
        ("b/nvfp4-tiny-bs1-eager", said["b/nvfp4-tiny-bs1-eager"]),
    ]
