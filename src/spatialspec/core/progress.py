"""How work tells that it goes on: a bar in tokens, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Progress = Callable[[str, int], None]  # (method, tokens just committed)
Bar = Callable[[int], AbstractContextManager[Progress]]  # shows how many of so many tokens are done


@contextmanager
def silent(total: int) -> Iterator[Progress]:
    """A bar that shows nothing."""
    yield lambda method, tokens: None
