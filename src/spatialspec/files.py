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

from spatialspec.core.arguments import LONGEST, nameable
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


def check_output(path: Path, suffix: str, option: str, inputs: Sequence[Path | None] = ()) -> None:
    """Find out whether a file can be written, without leaving a trace.

    Args:
        path: what to write.
        suffix: required ending, or "" for any.
        option: that named the path, for the message.
        inputs: files that the command reads, and others that it writes: none of them may be this one. Of a folder
            among them no file may be replaced; a new one may be written there.

    Raises:
        BadInput: a wrong ending, a name that no file can have, no such folder, a folder in its place, no right to
            write, no room, or a file that is read or written besides.
    """
    what = f"{option} {path}"
    if not path.name or not nameable(path):
        raise BadInput(f"{option} {shown(str(path))}", f"a file name of at most {LONGEST} bytes", "rename it")
    if suffix and path.suffix.lower() != suffix:
        raise BadInput(what, f"a name that ends in {suffix}", "rename it")
    try:
        if path.exists() and not path.is_file():
            raise BadInput(f"{what}, which is {_kind(path)}", "a file", "choose another name")
        folder = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
        if not folder.is_dir():
            raise BadInput(what, "an existing folder", f"make {folder} first")
        if any(other is not None and _meets(path, other) for other in inputs):
            raise BadInput(f"{what}, which this command reads or writes besides", "another file", "rename it")
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        _try(folder)
    except OSError as error:
        raise BadInput(
            f"{what} ({error.strerror or error})", "a file in a writable folder", "choose another"
        ) from error


def check_folder(path: Path, option: str, inputs: Sequence[Path | None] = ()) -> None:
    """Find out whether files can be written into a folder, which is there or can be made in one that is.

    Args:
        path: of the folder.
        option: that named it, for the message.
        inputs: folders that the command reads or writes besides: none of them may be this one.

    Raises:
        BadInput: a name that no folder can have, no folder around it, a file in its place, no right to write, no room,
            or a folder that is read or written besides.
    """
    what = f"{option} {path}"
    try:
        if not nameable(path):
            raise BadInput(f"{option} {shown(str(path))}", f"a name of at most {LONGEST} bytes", "rename it")
        if path.exists() and not path.is_dir():
            raise BadInput(f"{what}, which is {_kind(path)}", "a folder", "choose another name")
        parent = Path(os.path.realpath(path)).parent
        if not parent.is_dir():
            raise BadInput(what, "an existing folder around it", f"make {parent} first")
        if any(other is not None and _same(path, other) for other in inputs):
            raise BadInput(f"{what}, which this command reads or writes besides", "another folder", "rename it")
        _try(path if path.is_dir() else parent)
    except OSError as error:
        raise BadInput(f"{what} ({error.strerror or error})", "a folder to write to", "choose another") from error


def _kind(path: Path) -> str:
    return "a folder" if path.is_dir() else "a file" if path.is_file() else "no regular file"


def _same(one: Path, other: Path) -> bool:
    """Whether two paths name one file, which need not exist."""
    alike = os.path.realpath(one) == os.path.realpath(other)
    return alike or (one.exists() and other.exists() and one.samefile(other))


def _meets(path: Path, other: Path) -> bool:
    """Whether writing a file would replace another, or one in another folder."""
    if not other.is_dir():
        return _same(path, other)
    return path.exists() and any(
        _same(folder, other) for p in (path.absolute(), path.resolve()) for folder in p.parents
    )


def _partial(folder: Path) -> Path:
    """A new file of a name of its own."""
    path = folder / f".{secrets.token_hex(8)}.partial"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return path


def _try(folder: Path) -> None:
    """Write something there and take it away again.

    Raises:
        OSError: there is no right to, or no room.
    """
    partial = _partial(folder)
    try:
        partial.write_bytes(bytes(4096))
    finally:
        partial.unlink()


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Where to write a new file; at the end of the block it is on the disk, whole, and replaces the old one.

    The name of the temporary file is its own, so that two writers of one path do not meet. Where the path is a link,
    the file that it leads to is replaced. A device, a pipe or a folder is never replaced.

    Raises:
        OSError: it could not be written, or something else than a file lies there; the old file is as it was, and no
            part of the new one is left.
    """
    place, partial = Path(os.path.realpath(path)), None
    try:
        _only_files(place)
        partial = _partial(place.parent)
        yield partial
        _flush(partial)  # a rename may reach the disk before what it names
        _only_files(place)
        os.replace(partial, place)
        with suppress(OSError):  # not every file system can
            _flush(place.parent)
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


def _only_files(place: Path) -> None:
    if place.exists() and not place.is_file():
        raise FileExistsError(errno.EEXIST, "no regular file lies there", str(place))


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
