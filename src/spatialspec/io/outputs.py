"""Checks of output paths before anything is computed, which leave no files behind; folders written whole."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from spatialspec.core.arguments import LONGEST, nameable
from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import partial_file


def check_output(path: Path, suffix: str, option: str, inputs: Sequence[Path | None] = ()) -> None:
    """Check that a file can be written.

    Args:
        path: of the file.
        suffix: required ending, or "" for any.
        option: that contains the path, for the message.
        inputs: other files that the command reads or writes: none may equal this one. Files in a folder among them
            must not be replaced, but new ones may be written there.

    Raises:
        BadInput: a wrong ending, an invalid file name, a missing folder, a folder with this name, no permission, a full
            disk, or a file that the command reads or writes otherwise.
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
            raise BadInput(f"{what}, which this command also reads or writes", "another file", "rename it")
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        _try(folder)
    except OSError as error:
        raise BadInput(
            f"{what} ({error.strerror or error})", "a file in a writable folder", "choose another"
        ) from error


def check_folder(path: Path, option: str, inputs: Sequence[Path | None] = (), new: bool = False) -> None:
    """Check that files can be written into a folder, which exists or can be created in an existing one.

    Args:
        path: of the folder.
        option: that contains the path, for the message.
        inputs: other folders that the command reads or writes: none may equal this one.
        new: whether the folder must not exist; missing parent folders are allowed then.

    Raises:
        BadInput: an existing folder where it must be new, an invalid name, a missing parent folder, a file with this
            name, no permission, a full disk, or a folder that the command reads or writes otherwise.
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
            raise BadInput(f"{what}, which this command also reads or writes", "another folder", "rename it")
        _try(path if path.is_dir() else parent)
    except OSError as error:
        raise BadInput(f"{what} ({error.strerror or error})", "a folder to write to", "choose another") from error


def _kind(path: Path) -> str:
    return "a folder" if path.is_dir() else "a file" if path.is_file() else "no regular file"


def _same(one: Path, other: Path) -> bool:
    """Whether two paths name the same file, which need not exist."""
    alike = os.path.realpath(one) == os.path.realpath(other)
    return alike or (one.exists() and other.exists() and one.samefile(other))


def _meets(path: Path, other: Path) -> bool:
    """Whether writing a file would replace `other`, or a file in the folder `other`."""
    if not other.is_dir():
        return _same(path, other)
    return path.exists() and any(
        _same(folder, other) for p in (path.absolute(), path.resolve()) for folder in p.parents
    )


def _try(folder: Path) -> None:
    """Write a temporary file and remove it.

    Raises:
        OSError: no permission, or a full disk.
    """
    partial = partial_file(folder)
    try:
        partial.write_bytes(bytes(4096))
    finally:
        partial.unlink()


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """A temporary folder for the files of a new one; it is renamed at the end of the block.

    Raises:
        OSError: it could not be written; nothing is left.
    """
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=path.parent, prefix=".", suffix=".partial"))
        yield partial
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o777 & ~mask)  # temporary folders are private
        partial.rename(path)
    except BaseException as error:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.strerror:
            raise OSError(f"{path}: could not be written ({error.strerror}): make room and try again") from error
        raise
