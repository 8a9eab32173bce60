"""Files that commands write: checked before anything is computed, then written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def check_output(path: Path, suffix: str, option: str) -> None:
    """Find out whether a file can be written, without leaving a trace.

    Args:
        path: what to write.
        suffix: required ending, or "" for any.
        option: that named the path, for the message.

    Raises:
        ValueError: wrong ending, no such folder, a folder in its place, or no right to write.
    """
    if suffix and path.suffix.lower() != suffix:
        raise ValueError(f"got {option} {path}, expected a name that ends in {suffix}: rename it")
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no file"
        raise ValueError(f"got {option} {path}, which is {what}, expected a file: choose another name")
    if not path.parent.is_dir():
        raise ValueError(f"got {option} {path}, expected an existing folder: make {path.parent} first")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"got {option} {path}, expected a writable folder ({reason}): choose another") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside the old one, then replace it."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        from spatialspec.core.files import open_up  # with torch behind it, which --help does without

        open_up(Path(partial))
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
