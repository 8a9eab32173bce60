"""Files: read with size limits and checks, written atomically. Imports no torch.

Every problem with a file is a :class:`BadInput` that names the file. Sizes stated inside a file are never trusted.
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
    """Read a text file in UTF-8, without a byte order mark.

    Args:
        path: of a regular file.
        expected: content, for the message.
        advice: for the message if there is no such file.
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
            data = b"" if large else file.read(limit + 1)  # files of /proc report size 0
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
    """The path of a file named in a document, which must lie inside the folder.

    Links in the folder are followed anywhere: they come from the owner of the folder, and the Hub's client uses
    them. Only names in documents are not trusted.

    Raises:
        BadInput: no text, an absolute path, a path outside the folder, or an invalid file name.
    """
    advice = "name files inside its folder"
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise BadInput(f"the file name {shown(name)}", "a name", advice, where)
    parts = name.replace("\\", "/").split("/")
    if name[0] in "/\\" or ":" in parts[0] or ".." in parts or not nameable(name):
        raise BadInput(f"the file name {shown(name)}", f"one inside {folder}", advice, where)
    return folder / name


def partial_file(folder: Path) -> Path:
    """Create an empty file with a unique name."""
    path = folder / f".{secrets.token_hex(8)}.partial"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return path


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Path of a temporary file to write; at the end of the block it is flushed to the disk and replaces the old file.

    The temporary name is unique, so that two writers of one path do not interfere. If the path is a link, the linked
    file is replaced. Devices, pipes and folders are never replaced.

    Raises:
        OSError: the file could not be written, or the path is no regular file. The old file is unchanged, and the
            temporary file is removed.
    """
    target, partial = Path(os.path.realpath(path)), None
    try:
        _only_files(target)
        partial = partial_file(target.parent)
        yield partial
        _flush(partial)  # else the rename may reach the disk before the contents
        _only_files(target)
        os.replace(partial, target)
        with suppress(OSError):  # not all file systems support it
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
            f"{path}: could not be written ({reason}): {remedy} and run the same command again; finished work is saved"
        ) from error


def _only_files(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "not a regular file", str(path))


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
    """The error of a file that could not be read, as :class:`BadInput`."""
    if isinstance(error, BadInput):
        return error
    reason = getattr(error, "strerror", None) or error
    return BadInput(f"{shown(str(path))} ({reason})", expected, "check the path")
