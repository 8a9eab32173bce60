"""A terminal for tests: a command runs in it, and what it shows is read back."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import Sequence

from helpers.paths import ROOT

SOURCE = ROOT / "src"


def run_in_terminal(
    arguments: Sequence[object], columns: int = 100, stop_at: bytes | None = None, **environment: str
) -> tuple[int, str]:
    """Run `spatialspec` in a terminal.

    Args:
        arguments: of the command.
        columns: of the terminal.
        stop_at: Ctrl-C is pressed when this has been shown.
        environment: variables of the process, beside its own.

    Returns:
        Exit code, and all that was written, control sequences included.
    """
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background shell has its children ignore it
        words = [sys.executable, "-m", "spatialspec", *map(str, arguments)]
        os.environ.pop("COLUMNS", None)
        settings = {"TERM": "xterm", "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"} | environment
        os.execve(words[0], words, os.environ | settings)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    written = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the command has ended
            break
        if not part:
            break
        written += part
        if stop_at is not None and stop_at in written:
            os.kill(child, signal.SIGINT)
            stop_at = None
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), written.decode()


def screen(written: str) -> list[str]:
    """Lines that are left on the screen, without colours."""
    lines: list[list[str]] = [[]]
    row = column = 0
    for text, number, kind in re.findall(r"([^\x1b])|\x1b\[\??([0-9;]*)([A-Za-z])", written):
        if text == "\n":
            row += 1
            lines += [[]] * (row == len(lines))
        elif text == "\r":
            column = 0
        elif text:
            line = lines[row] + [" "] * (column - len(lines[row]))
            lines[row] = [*line[:column], text, *line[column + 1 :]]
            column += 1
        elif kind == "A":
            row = max(0, row - int(number or 1))
        elif kind == "K":
            lines[row] = [] if number == "2" else lines[row][:column]
    return ["".join(line).rstrip() for line in lines]
