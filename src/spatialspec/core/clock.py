"""Seconds of a run by stage."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal, get_args

Stage = Literal["draft", "pass", "read", "verify", "keep"]
STAGES: tuple[str, ...] = get_args(Stage)


class Clock:
    """Adds the time since the last mark to a stage.

    Attributes:
        seconds: of every stage. `draft`: all work of proposing, networks included, and filling the input buffers of the
            pass. `pass`: from then to the arrival of its output. `read`: unpacking on the host. `verify`. `keep`:
            commit and observe.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self._last = time.perf_counter()

    def start(self) -> None:
        """What was done before belongs to no stage."""
        self._last = time.perf_counter()

    def mark(self, stage: Stage) -> None:
        """What was done since the last mark belongs to this stage."""
        now = time.perf_counter()
        self.seconds[stage] += now - self._last
        self._last = now


UNTIMED = Clock()  # for passes that nobody times


@dataclass
class DraftCost:
    """Passes of a draft model for one image so far.

    Attributes:
        passes: number of passes, those over a prompt too.
        slots: cells scored in them.
        seconds: they took; an image's share where several share a pass.
    """

    passes: int = 0
    slots: int = 0
    seconds: float = 0.0

    def add(self, slots: int, seconds: float) -> None:
        """Count one pass."""
        self.passes += 1
        self.slots += slots
        self.seconds += seconds
