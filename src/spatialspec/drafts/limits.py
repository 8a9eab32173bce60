"""Checks of settings and memory before a training starts."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from typing import Any

from spatialspec.core.errors import BadInput, shown

MOST = 2**31 - 1
SHARES = {"alone", "drop", "noise", "fall", "dropout", "floor"}  # from 0 to 1


def check_settings(settings: Any, **least: int) -> None:
    """Refuse numbers that are out of range.

    Args:
        settings: a dataclass; its fields of type float must be finite, from 0, and a share at most 1.
        **least: smallest value of each whole-number field; the largest is MOST.

    Raises:
        BadInput: one is out of range, or of another type.
    """
    for name, low in least.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= MOST:
            raise BadInput(f"{name} {shown(value)}", f"{low} to 2^31 - 1", "choose another")
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(field.default, float):
            most = 1.0 if field.name in SHARES else sys.float_info.max
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                expected = "a share from 0 to 1" if field.name in SHARES else "a number from 0"
                raise BadInput(f"{field.name} {shown(value)}", expected, "choose another")


def check_memory(needed: float, what: str, advice: str) -> None:
    """Refuse work that certainly needs more memory than the machine has.

    Args:
        needed: lower bound in bytes.
        what: purpose, for the message.
        advice: for the message.

    Raises:
        BadInput: the accelerator, or without one the computer, has less memory in total.
    """
    total = memory()
    if total is not None and needed > total:
        raise BadInput(f"{what}: at least {needed / 1e9:,.1f} GB", f"at most {total / 1e9:,.1f} GB of memory", advice)


def memory() -> int | None:
    """Bytes of memory of the accelerator, or without one of the computer; None if unknown."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return None
