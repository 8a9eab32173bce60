"""Progress of a training: a bar on a terminal, else plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY = 25  # steps between two plain lines
SECONDS = 15  # between two plain lines while images are drawn


class _Display:
    """A bar if stderr is a terminal and `bar` allows it, else plain lines."""

    counted = False  # whether to show the number of steps, and to leave the bar at the end

    def __init__(self, report: Callable[[str], None], bar: bool = True) -> None:
        self.report, self._reported = report, time.monotonic()
        self._bar: Progress | None = None
        if bar and sys.stderr.isatty():
            counter = (MofNCompleteColumn(),) if self.counted else ()
            columns = (TextColumn("{task.description}"), BarColumn(), *counter, TimeRemainingColumn())
            console = Console(stderr=True)
            self._bar = Progress(*columns, console=console, refresh_per_second=4, transient=not self.counted)

    def _begin(self, what: str, total: int, completed: int = 0) -> None:
        """Show a new bar instead of the last one."""
        if self._bar is not None:
            for task in self._bar.task_ids:
                self._bar.remove_task(task)
            self._bar.add_task(what, total=total, completed=completed)
            self._bar.start()

    def line(self, text: str) -> None:
        """Report a plain line, above the bar."""
        if self._bar is None:
            self.report(text)
            return
        self._bar.stop()
        self.report(text)
        self._bar.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()


class TrainingProgress(_Display):
    """Steps of one training with loss, held-out figures and remaining time; see `_Display` for the arguments."""

    counted = True
    _loss: float | None = None
    _before = 0.0  # seconds of earlier runs

    def start(self, first: int, steps: int) -> None:
        """Announce the remaining steps."""
        self._first, self._steps, self._started = first, steps, time.monotonic()
        if first:
            self.report(f"resuming at step {first}/{steps}")
        if first < steps:
            self._begin("", steps, first)

    @property
    def seconds(self) -> float:
        """Seconds of all steps and evaluations, in this run and in the earlier ones that it resumes."""
        return self._before + time.monotonic() - self._started

    def state_dict(self) -> dict[str, float]:
        """The seconds so far, for the next run."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Restore the seconds of earlier runs."""
        self._before = state["seconds"]

    def step(self, done: int, loss: float) -> None:
        """Show a finished step, and the running mean of the loss."""
        self._loss = loss if self._loss is None else 0.95 * self._loss + 0.05 * loss
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, description=f"loss {self._loss:.4f}")
        elif done % EVERY == 0 or done == self._steps:
            left = (time.monotonic() - self._started) / (done - self._first) * (self._steps - done)
            self.report(f"step {done}/{self._steps} loss {self._loss:.4f}, {left:.0f} s left")

    def evaluated(self, done: int, figures: Mapping[str, float], best: bool) -> None:
        """Show held-out figures after a step."""
        line = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        self.line(f"step {done}/{self._steps} held-out{' (best)' if best else ''}: {line}")


class DrawingProgress(_Display):
    """Share of finished cells in a piece of images; see `_Display` for the arguments."""

    def start(self, piece: int, pieces: int, cells: int) -> None:
        """Announce a piece of so many cells."""
        self._what, self._cells = f"drawing, piece {piece + 1} of {pieces}", cells
        self._begin(self._what, cells)

    def drawn(self, cells: int) -> None:
        """Show the number of cells of the piece that are drawn."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=cells)
        elif time.monotonic() - self._reported > SECONDS:
            self._reported = time.monotonic()
            self.report(f"{self._what}: {cells / self._cells:.0%}")
