"""Numbers as people pass them, Python's, numpy's and torch's, and names of files. Imports none of these libraries."""

from __future__ import annotations

import operator
import os
from pathlib import Path
from typing import Any, cast

from spatialspec.core.errors import BadInput, shown

LONGEST = 255  # bytes of a file's name, on every usual file system


def whole(name: str, value: object, low: int, high: int, border: str = "") -> int:
    """Read a whole number; of numpy or torch it may be one without dimensions. True and False are no numbers.

    Args:
        name: of the argument or option, for the message.
        value: what came.
        low: smallest number.
        high: largest number.
        border: how to say what is allowed; "" for "LOW to HIGH, a whole number".

    Raises:
        BadInput: it is none, or out of range.
    """
    try:
        number = operator.index(cast("Any", value)) if _scalar(value) else low - 1
    except Exception:  # whatever a foreign object raises
        number = low - 1
    if not low <= number <= high:
        raise BadInput(f"{name} {shown(value)}", border or f"{low} to {high}, a whole number")
    return number


def number(name: str, value: object, low: float, high: float, border: str = "") -> float:
    """Read a number, as `whole` does; NaN is none, and infinity is one where `high` is infinite."""
    try:
        read = float(cast("Any", value)) if _scalar(value) else low - 1
    except Exception:  # as above, and whole numbers that are too large
        read = low - 1
    if not low <= read <= high:
        raise BadInput(f"{name} {shown(value)}", border or f"{low:g} to {high:g}")
    return read


def _scalar(value: object) -> bool:
    """Whether a value may be a single number: no text, no truth value, no array that has dimensions."""
    if isinstance(value, bool | str | bytes | bytearray) or "bool" in str(getattr(value, "dtype", "")):
        return False
    return not dimensions(value)


def dimensions(value: object) -> int:
    """Of an array of numpy or torch; 0 of everything else."""
    found = getattr(value, "ndim", 0)  # numpy itself has one, a function
    return found if type(found) is int else 0


def listed(name: str, value: object, expected: str) -> list[Any]:
    """Read a list: of Python, a tuple, or an array of numpy or torch with one dimension or more.

    Returns:
        A list of Python's own, whatever a subclass says of its length and items.

    Raises:
        BadInput: it is none.
    """
    try:
        if isinstance(value, list | tuple):
            return list.copy(value) if isinstance(value, list) else list(tuple.__iter__(value))
        if dimensions(value):
            return list(cast("Any", value).tolist())
    except Exception:  # whatever a foreign object raises
        pass
    raise BadInput(f"{name} {shown(value)}", expected)


def nameable(path: str | Path) -> bool:
    """Whether a file can have a path: no NUL, no half of a surrogate pair, no part of more than LONGEST bytes."""
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return b"\0" not in name and len(name) < 4096 and all(len(part) <= LONGEST for part in name.split(b"/"))
