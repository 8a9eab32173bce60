"""A job: the images of one request, how far each is, and who waits for news of them."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.method import Method
from spatialspec.request import Request
from spatialspec.serve.problems import Problem

OPEN, TARGET, DRAFT = 0, 1, 2  # who wrote a cell


class JobImage:
    """One image of a job. The scheduler's thread changes it, between passes; others read it.

    Args:
        request: of this image alone.
        method: how to decode.
        cells: of the image.
        partials: partial images to announce.

    Attributes:
        state: committed tokens; None until its first pass.
        partials: states that are to be sent as partial images, at equal distances and the first after one of
            `partials + 2` parts of the cells.
        writers: OPEN, TARGET or DRAFT for every cell.
        begun: when it joined the batch, seconds of a monotonic clock.
        ended: when its last cell was written; None before.
    """

    def __init__(self, request: Request, method: Method, cells: int, partials: int = 0) -> None:
        self.request, self.method = request, method
        self.state: State | None = None
        self.partials: list[State] = []
        self.writers = bytearray(cells)
        self.begun: float | None = None
        self.ended: float | None = None
        self._due = [-(-cells * part // (partials + 2)) for part in range(1, partials + 1)]

    def advance(self, step: Step) -> None:
        """Note a pass. One pass makes at most one partial image, and the last pass none."""
        accepted = {step.proposal.cells[node] for node in (*step.verdict.path, *step.verdict.elsewhere)}
        ahead = {cell for cell, _ in step.verdict.ahead}
        for cell in {*range(step.before.frontier, step.after.frontier), *accepted, *ahead}:
            if not self.writers[cell]:
                self.writers[cell] = DRAFT if cell in accepted else TARGET
        passed = [cells for cells in self._due if cells <= step.after.frontier]
        if passed and not step.after.complete:
            self.partials.append(step.after)
        self._due = self._due[len(passed) :]
        self.state = step.after
        if step.after.complete:
            self.ended = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since it joined the batch, until its last cell was written."""
        return 0.0 if self.begun is None else (self.ended or time.monotonic()) - self.begun


class Job:
    """The images of one request.

    Args:
        drawings: its images.
        limit: seconds after which it is given up.
        place: of the server among several; "" where there is one.

    Attributes:
        id: unguessable; ends with a dot and the place, if there is one.
        arrived: seconds of a monotonic clock.
        deadline: likewise.
        problem: why it ended without its images; None while it goes on, and when they are done.
    """

    def __init__(self, drawings: Sequence[JobImage], limit: float, place: str = "") -> None:
        self.drawings, self.id = drawings, secrets.token_urlsafe(16) + (place and f".{place}")
        self.arrived = time.monotonic()
        self.deadline = self.arrived + limit
        self.problem: Problem | None = None
        self._lock = threading.Lock()
        self._listeners: set[Callable[[], object]] = set()

    @property
    def over(self) -> bool:
        """Whether nothing of it is to be drawn any more."""
        return self.problem is not None or all(drawing.ended is not None for drawing in self.drawings)

    def fail(self, problem: Problem) -> None:
        """End it, unless it is over."""
        if not self.over:
            self.problem = problem
            self.notify()

    def notify(self) -> None:
        """Wake all that wait in `changes`; from any thread."""
        with self._lock:
            listeners = list(self._listeners)
        for wake in listeners:
            with suppress(RuntimeError):  # a loop that has ended
                wake()

    async def changes(self) -> AsyncIterator[None]:
        """Yield once, then after changes, the last time when the job is over.

        A slow reader misses changes, never the last one: it reads what is there when it comes, and nothing is stored
        for it.
        """
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        with self._lock:
            self._listeners.add(wake)
        try:
            while True:
                changed.clear()
                over = self.over
                yield
                if over:
                    return
                await changed.wait()
        finally:
            with self._lock:
                self._listeners.discard(wake)
