"""What is said when a GPU ran out of memory."""

from __future__ import annotations

import pytest
import torch

from fixtures.pipelines.out_of_memory import Reached, asked, chain, let_go, ran_out, sentence

GB = 10**9


def test_a_smaller_batch_that_may_fit_is_named() -> None:
    said = sentence(
        Reached(total_bytes=80 * GB, weights_bytes=40 * GB, peak_bytes=78 * GB, asked_bytes=4 * GB, batch_size=8)
    )
    # 42 GB beside the weights for 8, 40 GB are there: 40 * 8 / 42 = 7.6.
    assert said == (
        "out of memory at batch 8: 78.0 GB reached, 4.00 GB more asked for, the GPU has 80.0 GB; "
        "the weights take 40.0 GB, so batch 7 may fit"
    )


@pytest.mark.parametrize(
    ("weights", "peak", "more", "batch"), [(0, 79 * GB, 6 * GB, 4), (70 * GB, 79 * GB, 30 * GB, 1)]
)
def test_where_no_batch_fits_the_memory_that_would_is_named(weights: int, peak: int, more: int, batch: int) -> None:
    said = sentence(
        Reached(total_bytes=80 * GB, weights_bytes=weights, peak_bytes=peak, asked_bytes=more, batch_size=batch)
    )
    assert said.endswith(f"a GPU with more than {(peak + more) / 1e9:.0f} GB would fit it")


def test_the_batch_that_failed_is_never_proposed() -> None:
    said = sentence(
        Reached(total_bytes=80 * GB, weights_bytes=10 * GB, peak_bytes=40 * GB, asked_bytes=0, batch_size=2)
    )
    assert said.endswith("batch 1 may fit")
    assert "asked" not in said


def wrapped() -> Exception:
    try:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 512.00 MiB. GPU 0 has a total capacity")
        except torch.OutOfMemoryError as inner:
            raise RuntimeError("backend failed") from inner
    except RuntimeError as outer:
        return outer


def test_an_error_that_a_compiler_wrapped_is_recognised() -> None:
    problem = wrapped()
    assert ran_out(problem)
    assert asked(problem) == 512 * 2**20
    assert len(list(chain(problem))) == 2
    assert not ran_out(RuntimeError("Tried to allocate 512.00 MiB"))


def test_frames_let_go_of_their_tensors() -> None:
    held: list[int] = []

    class Large:
        def __del__(self) -> None:
            held.append(1)

    def fail() -> None:
        large = Large()
        raise torch.OutOfMemoryError(f"Tried to allocate 1.00 GiB {large is None}")

    try:
        fail()
    except torch.OutOfMemoryError as problem:
        kept = problem
    assert not held
    let_go(kept)
    assert held
