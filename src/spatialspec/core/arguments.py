"""Reads numbers, lists and file names passed as Python, numpy or torch objects. Imports neither numpy nor torch."""

from __future__ import annotations

import operator
import os
from pathlib import Path
from typing import Any, cast

from spatialspec.core.errors import BadInput, shown

ENGINES = ("auto", "eager", "captured", "compiled")  # ways to run passes: targets/runners.py
LONGEST = 255  # bytes of a file name, on all common file systems


def whole(name: str, value: object, low: int, high: int, border: str = "") -> int:
    """Read a whole number, of Python, numpy or torch (without dimensions). True and False are refused.

    Args:
        name: of the argument or option, for the message.
        value: argument to read.
        low: smallest number.
        high: largest number.
        border: the allowed range in words; "" for "LOW to HIGH, a whole number".

    Raises:
        BadInput: the value is no whole number, or out of range.
    """
    try:
        number = operator.index(cast("Any", value)) if _scalar(value) else low - 1
    except Exception:  # of a foreign object, which may raise anything
        number = low - 1
    if not low <= number <= high:
        raise BadInput(f"{name} {shown(value)}", border or f"{low} to {high}, a whole number")
    return number


def number(name: str, value: object, low: float, high: float, border: str = "") -> float:
    """Read a number, as `whole` does; NaN is refused, infinity is allowed where `high` is infinite."""
    try:
        read = float(cast("Any", value)) if _scalar(value) else low - 1
    except Exception:  # of a foreign object, or of a whole number that no float holds
        read = low - 1
    if not low <= read <= high:
        raise BadInput(f"{name} {shown(value)}", border or f"{low:g} to {high:g}")
    return read


def _scalar(value: object) -> bool:
    """Whether a value may be a single number: no text, no bool, no array with dimensions."""
    if isinstance(value, bool | str | bytes | bytearray) or "bool" in str(getattr(value, "dtype", "")):
        return False
    return not dimensions(value)


def dimensions(value: object) -> int:
    """Number of dimensions of an array of numpy or torch; 0 of anything else."""
    count = getattr(value, "ndim", 0)  # of the module numpy it is a function
    return count if type(count) is int else 0


def listed(name: str, value: object, expected: str) -> list[Any]:
    """Read a list, a tuple, or an array of numpy or torch with at least one dimension.

    Returns:
        A plain list; overridden methods of a subclass are not called.

    Raises:
        BadInput: the value is none of these.
    """
    try:
        if isinstance(value, list | tuple):
            return list.copy(value) if isinstance(value, list) else list(tuple.__iter__(value))
        if dimensions(value):
            return list(cast("Any", value).tolist())
    except Exception:  # of a foreign object, which may raise anything
        pass
    raise BadInput(f"{name} {shown(value)}", expected)


def nameable(path: str | Path) -> bool:
    """Whether a path is possible: no NUL, no lone surrogate, no part of more than LONGEST bytes."""
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return b"\0" not in name and len(name) < 4096 and all(len(part) <= LONGEST for part in name.split(b"/"))
