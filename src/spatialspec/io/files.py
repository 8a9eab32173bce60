"""Files: read once, with limits, and checked; written whole or not at all. Imports no torch.

Whatever is wrong with a file is a :class:`BadInput` that names it. No size that is written inside a file is believed.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from spatialspec.core.arguments import nameable
from spatialspec.core.documents import parse_json
from spatialspec.core.errors import BadInput, shown

LARGEST = 64 << 20  # bytes of a text file; the config.json of a large vocabulary has 8 million
LFS = b"version https://git-lfs"


def read_text(path: Path, expected: str = "text", advice: str = "check the path", limit: int = LARGEST) -> str:
    """Read a text file in UTF-8; a byte order mark is no part of it.

    Args:
        path: of a regular file.
        expected: what it should hold, for the message.
        advice: where there is no such file.
        limit: bytes.

    Raises:
        BadInput: it is missing, no regular file, too large, not readable, or no UTF-8.
    """
    try:
        if not path.is_file():
            what = "file" if not path.exists() else "file but a folder," if path.is_dir() else "regular file,"
            raise BadInput(f"no {what} {path}", expected, advice)
        with path.open("rb") as file:
            large = os.fstat(file.fileno()).st_size > limit
            data = b"" if large else file.read(limit + 1)  # the size of a file of /proc is 0
    except (OSError, ValueError) as error:
        raise unusable(path, error, expected) from error
    if large or len(data) > limit:
        raise BadInput(f"more than {limit:,} bytes", f"{expected} of at most as many", "give a smaller file", path)
    if data.startswith(LFS):
        raise BadInput("a git-lfs pointer, not the file itself", expected, "run `git lfs pull` in its folder", path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"bytes that are no text (byte {error.start})", "UTF-8", "save it as UTF-8", path) from error


def read_config(
    path: Path, required: Sequence[str] = (), advice: str = "fetch it again", limit: int = LARGEST
) -> dict[str, Any]:
    """Read a JSON object of at most so many bytes.

    Raises:
        BadInput: the file is missing, is no JSON object, or lacks a required key.
    """
    config = parse_json(read_text(path, f"a folder with {path.name}", limit=limit), path, advice)
    if not isinstance(config, dict):
        raise BadInput(f"{type(config).__name__}", "a JSON object", advice, path)
    missing = [key for key in required if key not in config]
    if missing:
        raise BadInput(f"none for {', '.join(missing)}", f"the keys {', '.join(required)}", advice, path)
    return config


def inside(folder: Path, name: object, where: object) -> Path:
    """The path of a file that a document names, which may only be one inside the folder.

    Links that lie in the folder are followed, wherever they lead: who made the folder made them, and the folders that
    the Hub's client makes are full of them. It is names in documents that are not trusted.

    Raises:
        BadInput: no text, an absolute path, one that leads out of the folder, or one that no file can have.
    """
    advice = "name files inside its folder"
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise BadInput(f"the file name {shown(name)}", "a name", advice, where)
    parts = name.replace("\\", "/").split("/")
    if name[0] in "/\\" or ":" in parts[0] or ".." in parts or not nameable(name):
        raise BadInput(f"the file name {shown(name)}", f"one inside {folder}", advice, where)
    return folder / name


def partial_file(folder: Path) -> Path:
    """A new file of a name of its own."""
    path = folder / f".{secrets.token_hex(8)}.partial"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return path


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Where to write a new file; at the end of the block it is on the disk, whole, and replaces the old one.

    The name of the temporary file is its own, so that two writers of one path do not meet. Where the path is a link,
    the file that it leads to is replaced. A device, a pipe or a folder is never replaced.

    Raises:
        OSError: it could not be written, or something else than a file lies there; the old file is as it was, and no
            part of the new one is left.
    """
    target, partial = Path(os.path.realpath(path)), None
    try:
        _only_files(target)
        partial = partial_file(target.parent)
        yield partial
        _flush(partial)  # a rename may reach the disk before what it names
        _only_files(target)
        os.replace(partial, target)
        with suppress(OSError):  # not every file system can
            _flush(target.parent)
    except BaseException as error:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        reason = getattr(error, "strerror", None) or error
        remedy = (
            "check the folder"
            if isinstance(error, (FileExistsError, FileNotFoundError, PermissionError))
            else "make room"
        )
        raise OSError(
            f"{path}: could not be written ({reason}): {remedy} and run the same command again; what is finished is "
            "kept"
        ) from error


def _only_files(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "no regular file lies there", str(path))


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, as `writing` does."""
    with writing(path) as partial:
        partial.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, as `writing` does; broken Unicode is written as escapes."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def unusable(path: Path, error: Exception, expected: str) -> BadInput:
    """A file that could not be read, where that is not a :class:`BadInput` already."""
    if isinstance(error, BadInput):
        return error
    reason = getattr(error, "strerror", None) or error
    return BadInput(f"{shown(str(path))} ({reason})", expected, "check the path")
