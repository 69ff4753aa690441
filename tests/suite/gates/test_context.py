"""What gates of one run have in common is made once, and what cannot be made is not tried again."""

from __future__ import annotations

import pytest

from fixtures.gates.context import Once


def test_what_could_not_be_made_raises_again_and_is_not_made_again() -> None:
    shared, tried = Once(), list[int]()

    def make() -> int:
        tried.append(1)
        raise OSError("no replay")

    for _ in range(3):
        with pytest.raises(OSError, match="no replay"):
            shared.get("new process", make)
    assert tried == [1]
    assert shared.get("other", lambda: 3) == 3
