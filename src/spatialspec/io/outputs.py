"""Where results go: found out before anything is computed, without leaving a trace."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from spatialspec.core.arguments import LONGEST, nameable
from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import partial_file


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


def check_folder(path: Path, option: str, inputs: Sequence[Path | None] = (), new: bool = False) -> None:
    """Find out whether files can be written into a folder, which is there or can be made in one that is.

    Args:
        path: of the folder.
        option: that named it, for the message.
        inputs: folders that the command reads or writes besides: none of them may be this one.
        new: whether it may not exist yet; then those around it are made as well.

    Raises:
        BadInput: a folder that exists where it may not, a name that no folder can have, no folder around it, a file in
            its place, no right to write, no room, or a folder that is read or written besides.
    """
    what = f"{option} {path}"
    try:
        if not nameable(path):
            raise BadInput(f"{option} {shown(str(path))}", f"a name of at most {LONGEST} bytes", "rename it")
        if new and (path.exists() or path.is_symlink()):
            raise BadInput(f"{what}, which exists", "a new folder", "choose another name")
        if path.exists() and not path.is_dir():
            raise BadInput(f"{what}, which is {_kind(path)}", "a folder", "choose another name")
        parent = Path(os.path.realpath(path)).parent
        if new:
            parent = next(folder for folder in (parent, *parent.parents) if folder.exists())
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


def _try(folder: Path) -> None:
    """Write something there and take it away again.

    Raises:
        OSError: there is no right to, or no room.
    """
    partial = partial_file(folder)
    try:
        partial.write_bytes(bytes(4096))
    finally:
        partial.unlink()
