"""Output of commands: tables on stdout, and progress on stderr if that is a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from spatialspec.core.errors import printable
from spatialspec.io.files import write_text

if TYPE_CHECKING:
    from rich.progress import Progress

Column = tuple[str, Callable[[Any], str]]  # its heading, and the text of a result


def terminal_width() -> int | None:
    """Columns of the terminal; None if stdout is no terminal."""
    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else None


def table(columns: Sequence[Column], results: Sequence[object]) -> str:
    """Aligned lines, never cut. Columns beyond the width of the terminal follow below, after the first column again."""
    rows = [[name for name, _ in columns], *([show(result) for _, show in columns] for result in results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = terminal_width() or sum(widths) + 2 * len(widths)
    first = widths[0] if sum(widths) + 2 * (len(widths) - 1) <= room else min(widths[0], room // 2)
    blocks: list[list[int]] = [[]]
    for i, width in enumerate(widths[1:], 1):
        if blocks[-1] and first + 2 + width + sum(2 + widths[j] for j in blocks[-1]) > room:
            blocks.append([])
        blocks[-1].append(i)
    return "\n\n".join("\n".join(_lines(rows, block, widths, first)) for block in blocks)


def _lines(rows: Sequence[Sequence[str]], block: Sequence[int], widths: Sequence[int], first: int) -> Iterator[str]:
    """The first column, `first` wide, and those of a block; a longer first cell continues on the next lines."""
    for row in rows:
        cells = [row[0][:first].ljust(first), *(row[i].rjust(widths[i]) for i in block)]
        yield "  ".join(cells).rstrip()
        yield from (row[0][i : i + first] for i in range(first, len(row[0]), first))


def wrapped(line: str, indent: int = 2) -> str:
    """A line, broken between words if the terminal is narrower; further lines are indented by `indent` columns."""
    room = terminal_width() or len(line)
    if len(line) <= room:
        return line
    start = " " * (len(line) - len(line.lstrip()))
    return textwrap.fill(line.lstrip(), room, initial_indent=start, subsequent_indent=start + " " * indent)


def in_columns(words: Sequence[str], indent: int = 2, step: int = 18) -> str:
    """Words in aligned columns that fit the terminal, a long one in several of them; elsewhere one on each line."""
    room = terminal_width()
    lines: list[str] = []
    for word in words:
        start = -(-(len(lines[-1]) + 2 - indent) // step) * step + indent if lines else 0
        if lines and room is not None and start + len(word) <= room:
            lines[-1] = lines[-1].ljust(start) + word
        else:
            lines.append(" " * indent + word)
    return "\n".join(lines)


def notes(remarks: Sequence[str]) -> None:
    """Print a line for each remark on what was typed."""
    for remark in remarks:
        say(wrapped(f"note: {remark}"))


def _is_terminal() -> bool:
    """Whether stderr is a terminal, and this process the first of `torchrun`."""
    return sys.stderr.isatty() and os.environ.get("LOCAL_RANK", "0") == "0"


class Display:
    """One line on stderr: a bar in tokens, or the current work and its seconds; nothing if stderr is no terminal."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._done, self._drawn = 0, 0.0

    def tokens(self, total: int, timed: bool) -> None:
        """Show a bar. If the work is `timed`, only `__call__` draws it, so that no other thread disturbs the timing."""
        if _is_terminal():
            from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("tokens"), TimeRemainingColumn())
            self._show("", total, not timed, *(() if timed else (SpinnerColumn(),)), *columns)

    def stage(self, what: str) -> None:
        """Show the current work, if its number of steps is unknown."""
        if _is_terminal():
            from rich.progress import SpinnerColumn, TimeElapsedColumn

            self._show(f"{what} ...", None, True, SpinnerColumn(), TimeElapsedColumn())

    def __call__(self, what: str, tokens: int) -> None:
        """Add tokens. The bar is drawn at most four times a second."""
        self._done += tokens
        if self._bar is not None and time.monotonic() - self._drawn > 0.25:
            self._drawn = time.monotonic()
            self._bar.update(self._bar.task_ids[0], completed=self._done, description=what, refresh=True)

    def hide(self) -> None:
        """Remove the line."""
        if self._bar is not None:
            self._bar.stop()

    def show(self) -> None:
        """Show the line again."""
        if self._bar is not None:
            self._bar.start()

    def _show(self, what: str, total: int | None, moves: bool, *columns: Any) -> None:
        from rich.console import Console
        from rich.progress import Progress, TextColumn

        self.hide()
        text = TextColumn("{task.description}", markup=False)
        console = Console(stderr=True)  # output on stdout must not go there
        self._bar = Progress(text, *columns, console=console, auto_refresh=moves, transient=True, redirect_stdout=False)
        self._bar.add_task(what, total=total)
        self.show()


_displays: list[Display] = []  # the last one is shown


def say(text: str, err: bool = False, colour: str | None = None) -> None:
    """Print text above the progress line; control characters are escaped.

    Args:
        text: one line or more.
        err: print on stderr instead of stdout.
        colour: of the first word, if stdout is a terminal.
    """
    text = printable(text)
    if colour is not None and terminal_width() is not None:
        first, blank, rest = text.partition(" ")
        text = typer.style(first, fg=colour, bold=True) + blank + rest
    for shown in _displays[-1:]:
        shown.hide()
    try:
        typer.echo(text, err=err)
    except OSError as error:
        error.filename = "standard error" if err else "standard output"
        raise
    for shown in _displays[-1:]:
        shown.show()


@contextmanager
def saved(path: Path | None, text: Callable[[], str]) -> Iterator[None]:
    """Show results, then write them; they are written even if they cannot be shown, as in a closed pipe."""
    try:
        yield
    finally:
        if path is not None:
            write_text(path, text())


@contextmanager
def waiting(what: str) -> Iterator[Display]:
    """Show the current work, and remove it at the end; an outer line is shown again then."""
    with _shown() as now:
        now.stage(what)
        yield now


@contextmanager
def progress(total: int, timed: bool = True) -> Iterator[Display]:
    """A bar of so many tokens, called as `report(method, tokens)`; removed at the end."""
    with _shown() as now:
        now.tokens(total, timed)
        yield now


@contextmanager
def _shown() -> Iterator[Display]:
    for outer in _displays[-1:]:
        outer.hide()
    shown = Display()
    _displays.append(shown)
    try:
        yield shown
    finally:
        _displays.pop().hide()
        for outer in _displays[-1:]:
            outer.show()


@contextmanager
def resumable(what: str) -> Iterator[None]:
    """Print on Ctrl-C what is saved of the work so far."""
    try:
        yield
    except KeyboardInterrupt:
        say(wrapped(what), err=True)
        raise
