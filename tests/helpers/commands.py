"""`spatialspec serve` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.paths import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}


def heed_interrupts() -> None:
    """A background shell has its children ignore them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def started(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the URL that it prints when it is ready."""
    words = [sys.executable, "-m", "spatialspec", "serve", "--model", str(folder), "--port", "0", *options]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, preexec_fn=heed_interrupts
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        lines = iter(process.stdout.readline, "")
        found = next(
            (m for line in lines if (m := re.fullmatch(r"serving tiny at (\S+) \(Ctrl-C ends it\)\n", line))), None
        )
        assert found is not None, process.stderr.read()
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()
