"""Devices and types of weights as people name them. Imports torch where it is needed only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from spatialspec.core.errors import BadInput, shown

if TYPE_CHECKING:
    import torch

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}  # as the command line names them, as torch does
AUTO = "auto"  # fp32 on the CPU, bf16 elsewhere
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")  # those that accelerate makes
MOST = 1024  # accelerators


def placement(
    where: object, kind: object, torch_kind: object, spread: object
) -> tuple[str, torch.dtype, str | dict[str, torch.device] | None]:
    """Read device, type of the weights, under one of its two names, and device map of a model that is to be loaded.

    Raises:
        BadInput: one of them is none, or the two types differ.
    """
    there = device(where)
    if kind is not None and torch_kind is not None and kind != torch_kind:
        raise BadInput(f"dtype {shown(kind)} and torch_dtype {shown(torch_kind)}", "one of them")
    return str(there), dtype(torch_kind if kind is None else kind, there), device_map(spread)


def dtype_name(value: object, argument: str = "dtype") -> str:
    """Read the name of a type of weights: one of DTYPES, as torch names it, or AUTO; `argument` is for the message.

    Raises:
        BadInput: it is none of these.
    """
    name = str(value).removeprefix("torch.") if isinstance(value, str) or type(value).__name__ == "dtype" else ""
    known = {short: short for short in DTYPES} | {full: short for short, full in DTYPES.items()} | {AUTO: AUTO}
    if name not in known:
        raise BadInput(f"{argument} {shown(value)}", f"one of {', '.join([*DTYPES, AUTO])}")
    return known[name]


def dtype(value: object, where: torch.device) -> torch.dtype:
    """Read the type of the weights, by name or as torch has it; None is fp32.

    Raises:
        BadInput: it is none that weights can have.
    """
    import torch

    if value is None or value is torch.float64:
        return torch.float32 if value is None else torch.float64
    name = dtype_name(value)
    if name == AUTO:
        name = "fp32" if where.type == "cpu" else "bf16"
    weights: torch.dtype = getattr(torch, DTYPES[name])
    return weights


def device(value: object, argument: str = "device") -> torch.device:
    """Read a device that this machine has; None is the CPU, and `argument` is for the message.

    Raises:
        BadInput: it is none; the message lists them.
    """
    import torch

    there = _devices()
    name = "cpu" if value is None else str(value) if isinstance(value, str | torch.device) else ""
    if name == "cpu:0":  # there is one
        name = "cpu"
    if name not in there:
        raise BadInput(f"{argument} {shown(value)}", "one that this machine has", ", ".join(there))
    return torch.device(name)


def _devices() -> list[str]:
    """The CPU, an accelerator, and each of those that there are."""
    import torch

    there = ["cpu"]
    if (other := torch.accelerator.current_accelerator()) is not None and torch.accelerator.is_available():
        there += [other.type, *(f"{other.type}:{i}" for i in range(torch.accelerator.device_count()))]
    return there


def device_map(value: object) -> str | dict[str, torch.device] | None:
    """Read a device map: None, one of DEVICE_MAPS, a device, or a mapping of names of modules to devices.

    A device may be the number of an accelerator. Which modules there are, the model knows.

    Raises:
        BadInput: it is anything else, or names a device that this machine lacks.
    """
    if value is None or (isinstance(value, str) and value in DEVICE_MAPS):
        return value
    try:
        if not isinstance(value, Mapping):
            return {"": _device_of(value)}
        found = {str(name): _device_of(where) for name, where in dict(value).items() if isinstance(name, str)}
        if found and len(found) == len(value):
            return found
    except Exception:  # BadInput of `device`, and whatever a foreign object raises
        pass
    there = ", ".join(_devices())
    expected = f"{', '.join(DEVICE_MAPS)}, a device that this machine has, or a mapping of module names to devices"
    raise BadInput(f"device_map {shown(value)}", expected, there)


def _device_of(value: object) -> torch.device:
    if isinstance(value, int) and not isinstance(value, bool):
        numbered = [name for name in _devices() if name.endswith(f":{value}")] if 0 <= value < MOST else []
        return device(numbered[0] if numbered else "")
    return device("" if value is None else value)
