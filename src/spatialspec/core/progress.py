"""Progress callbacks: a bar that counts tokens, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Progress = Callable[[str, int], None]  # (method, tokens just committed)
Bar = Callable[[int], AbstractContextManager[Progress]]  # of the total number of tokens


@contextmanager
def silent(total: int) -> Iterator[Progress]:
    """A bar that shows nothing."""
    yield lambda method, tokens: None
