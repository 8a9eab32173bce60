"""Files: read once, with limits, and checked; written whole or not at all. Imports no torch.

Whatever is wrong with a file is a :class:`BadInput` that names it. No size that is written inside a file is believed.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from spatialspec.core.errors import BadInput, shown

LARGEST = 64 << 20  # bytes of a text file; the config.json of a large vocabulary has 8 million
DEEPEST = 64  # levels of a JSON document
LONGEST = 255  # bytes of a file's name, on every usual file system
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
            raise BadInput(f"no file {path}", expected, advice)
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise unusable(path, error, expected) from error
    if len(data) > limit:
        raise BadInput(f"more than {limit:,} bytes", f"{expected} of at most as many", "give a smaller file", path)
    if data.startswith(LFS):
        raise BadInput("a git-lfs pointer, not the file itself", expected, "run `git lfs pull` in its folder", path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"bytes that are no text (byte {error.start})", "UTF-8", "save it as UTF-8", path) from error


def parse_json(text: str, where: object, advice: str = "fetch it again") -> Any:
    """Read a JSON document: every key once, numbers that are finite, at most DEEPEST levels.

    Raises:
        BadInput: it is no such document; the message begins with `where`.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:  # BadInput of the hooks, broken JSON, a number of 5,000 digits
        reason = error.got if isinstance(error, BadInput) else _reason(error)
        raise BadInput(f"a document that does not parse ({reason})", "JSON", advice, where) from error
    level, depth = [value], 0
    while level := [child for item in level if isinstance(item, (dict, list)) for child in _children(item)]:
        depth += 1
        if depth > DEEPEST:
            raise BadInput("a document nested too deeply", f"JSON of at most {DEEPEST} levels", advice, where)
    return value


def _children(item: dict[str, Any] | list[Any]) -> Iterator[Any]:
    return iter(item.values() if isinstance(item, dict) else item)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadInput(f"the key {shown(twice)} twice", "every key once")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise BadInput(f"the number {shown(text)}", "a finite one")
    return value


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error).partition(";")[0]


def read_config(path: Path, required: Sequence[str] = (), advice: str = "fetch it again") -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BadInput: the file is missing, is no JSON object, or lacks a required key.
    """
    config = parse_json(read_text(path, f"a folder with {path.name}"), path, advice)
    if not isinstance(config, dict):
        raise BadInput(f"{type(config).__name__}", "a JSON object", advice, path)
    missing = [key for key in required if key not in config]
    if missing:
        raise BadInput(f"none for {', '.join(missing)}", f"the keys {', '.join(required)}", advice, path)
    return config


def inside(folder: Path, name: object, where: object) -> Path:
    """The path of a file that a document names, which may only be one inside the folder.

    Raises:
        BadInput: no text, an absolute path, one that leads out of the folder, or one that no file can have.
    """
    advice = "name files inside its folder"
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise BadInput(f"the file name {shown(name)}", "a name", advice, where)
    parts = name.replace("\\", "/").split("/")
    if name[0] in "/\\" or ":" in parts[0] or ".." in parts or any(len(os.fsencode(p)) > LONGEST for p in parts):
        raise BadInput(f"the file name {shown(name)}", f"one inside {folder}", advice, where)
    return folder / name


def check_output(path: Path, suffix: str, option: str, inputs: Sequence[Path | None] = ()) -> None:
    """Find out whether a file can be written, without leaving a trace.

    Args:
        path: what to write.
        suffix: required ending, or "" for any.
        option: that named the path, for the message.
        inputs: files that the command reads, and others that it writes: none of them may be this one.

    Raises:
        BadInput: a wrong ending, a name that no file can have, no such folder, a folder in its place, no right to
            write, or a file that is read or written besides.
    """
    what = f"{option} {path}"
    if suffix and path.suffix.lower() != suffix:
        raise BadInput(what, f"a name that ends in {suffix}", "rename it")
    if "\0" in str(path) or not path.name or len(os.fsencode(path.name)) > LONGEST:
        raise BadInput(f"{option} {shown(str(path))}", f"a file name of at most {LONGEST} bytes", "rename it")
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "no regular file"
            raise BadInput(f"{what}, which is {kind}", "a file", "choose another name")
        if not path.parent.is_dir():
            raise BadInput(what, "an existing folder", f"make {path.parent} first")
        same = [other for other in inputs if other is not None and _same(path, other)]
        if same:
            raise BadInput(f"{what}, which this command reads or writes besides", "another file", "rename it")
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise BadInput(
            f"{what} ({error.strerror or error})", "a file in a writable folder", "choose another"
        ) from error


def _same(one: Path, other: Path) -> bool:
    """Whether two paths name one file, which need not exist."""
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Where to write a new file; at the end of the block it is on the disk, whole, and replaces the old one.

    The name of the temporary file is its own, so that two writers of one path do not meet.

    Raises:
        OSError: it could not be written; the old file is as it was, and no part of the new one is left.
    """
    partial = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
        os.close(handle)
        partial = Path(name)
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())  # a rename may reach the disk before what it names
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o666 & ~mask)  # what makes temporary files keeps them private
        os.replace(partial, path)
    except BaseException as error:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise OSError(
            f"{path}: could not be written ({reason}): make room and run the same command again; what is finished "
            "is kept"
        ) from error


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
