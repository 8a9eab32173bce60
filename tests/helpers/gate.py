"""A gate before the passes of a server, where its thread stands still while a test looks."""

from __future__ import annotations

import threading
from collections.abc import Callable

from spatialspec.serve.batch import Batch
from spatialspec.serve.scheduler import Scheduler

Condition = Callable[[Batch], bool]
LONGEST = 60.0  # seconds that it stays shut, so that a test that fails ends


class Gate:
    """Stops the thread that draws: after a pass, before images leave and join for the next. Open when its block ends.

    Attributes:
        closed: asked about the images that are drawn then.
    """

    def __init__(self) -> None:
        self.closed: Condition = lambda batch: False
        self._changed = threading.Condition()

    def shut(self, when: Condition = lambda batch: True) -> None:
        self.closed = when

    def open(self) -> None:
        with self._changed:
            self.closed = lambda batch: False
            self._changed.notify_all()

    def guarded(self, leave: Callable[[Scheduler], None]) -> Callable[[Scheduler], None]:
        """The first step of the thread's loop, behind the gate."""

        def wait(scheduler: Scheduler) -> None:
            with self._changed:
                self._changed.wait_for(lambda: not self.closed(scheduler._batch), LONGEST)
            leave(scheduler)

        return wait

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *error: object) -> None:
        self.open()
