"""What a training shows: a bar with loss, held-out figures and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

EVERY = 25  # steps between two plain lines
SECONDS = 15  # between two plain lines of drawing


class TrainingProgress:
    """Shows the steps of one training, the first of which may be behind it.

    Args:
        report: takes plain lines.
        bar: whether this process may draw a bar; it does so on a terminal.
    """

    def __init__(self, report: Callable[[str], None], bar: bool = True) -> None:
        self.report, self.bar = report, bar
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._loss: float | None = None
        self._before = 0.0  # seconds of earlier runs

    def start(self, first: int, steps: int) -> None:
        """Announce the steps that are left."""
        self._first, self._steps, self._begin = first, steps, time.monotonic()
        if first:
            self.report(f"goes on from step {first}/{steps}")
        if self.bar and sys.stderr.isatty() and first < steps:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), refresh_per_second=4)
            self._task = self._bar.add_task("", total=steps, completed=first)
            self._bar.start()

    @property
    def seconds(self) -> float:
        """What all steps took, evaluations included: in this run, and in earlier ones up to the state they left."""
        return self._before + time.monotonic() - self._begin

    def state_dict(self) -> dict[str, float]:
        """The seconds so far, for the next run."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take over the seconds of earlier runs."""
        self._before = state["seconds"]

    def step(self, done: int, loss: float) -> None:
        """A step is done; the loss is shown as a running mean."""
        self._loss = loss if self._loss is None else 0.95 * self._loss + 0.05 * loss
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=f"loss {self._loss:.4f}")
        elif done % EVERY == 0 or done == self._steps:
            left = (time.monotonic() - self._begin) / (done - self._first) * (self._steps - done)
            self.report(f"step {done}/{self._steps} loss {self._loss:.4f}, {left:.0f} s left")

    def evaluated(self, done: int, figures: Mapping[str, float], best: bool) -> None:
        """Held-out figures after a step."""
        line = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        text = f"step {done}/{self._steps} held-out{' (best)' if best else ''}: {line}"
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, soft_wrap=True)
        else:
            self.report(text)

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class DrawingProgress:
    """Shows how much of a piece of pictures is drawn: a bar on a terminal, a line now and then elsewhere.

    Args:
        report: takes plain lines.
        bar: whether this process may draw a bar.
    """

    def __init__(self, report: Callable[[str], None], bar: bool = True) -> None:
        self.report, self._said = report, time.monotonic()
        self._bar: Progress | None = None
        if bar and sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), refresh_per_second=4, transient=True)

    def start(self, piece: int, pieces: int, cells: int) -> None:
        """A piece of so many cells is begun."""
        self._what, self._cells = f"drawing, piece {piece + 1} of {pieces}", cells
        if self._bar is not None:
            for task in self._bar.task_ids:
                self._bar.remove_task(task)
            self._bar.add_task(self._what, total=cells)
            self._bar.start()

    def drawn(self, cells: int) -> None:
        """So many cells of the piece are there."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=cells)
        elif time.monotonic() - self._said > SECONDS:
            self._said = time.monotonic()
            self.report(f"{self._what}: {cells / self._cells:.0%}")

    def line(self, text: str) -> None:
        """Report a plain line, above the bar."""
        if self._bar is None:
            self.report(text)
            return
        self._bar.stop()
        self.report(text)
        self._bar.start()

    def __enter__(self) -> DrawingProgress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()
