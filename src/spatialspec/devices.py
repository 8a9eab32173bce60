"""Reads devices, dtypes and device maps. Imports torch only where needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from spatialspec.core.errors import BadInput, shown

if TYPE_CHECKING:
    import torch

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}  # name on the command line -> name in torch
AUTO = "auto"  # fp32 on the CPU, bf16 elsewhere
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")  # computed by accelerate
MOST = 1024  # accelerators


def placement(
    device_name: object, dtype_value: object, torch_dtype: object, mapping: object
) -> tuple[str, torch.dtype, str | dict[str, torch.device] | None]:
    """Read device, dtype (under one of its two names) and device map of a model to be loaded.

    Raises:
        BadInput: one of them is invalid, or the two dtypes differ.
    """
    torch_device = device(device_name)
    if dtype_value is not None and torch_dtype is not None and dtype_value != torch_dtype:
        raise BadInput(f"dtype {shown(dtype_value)} and torch_dtype {shown(torch_dtype)}", "one of them")
    return (
        str(torch_device),
        dtype(torch_dtype if dtype_value is None else dtype_value, torch_device),
        device_map(mapping),
    )


def dtype_name(value: object, argument: str = "dtype") -> str:
    """Read the name of a dtype: a key or value of DTYPES, or AUTO; `argument` is for the message.

    Returns:
        A key of DTYPES, or AUTO.

    Raises:
        BadInput: it is none of these.
    """
    name = str(value).removeprefix("torch.") if isinstance(value, str) or type(value).__name__ == "dtype" else ""
    known = {short: short for short in DTYPES} | {full: short for short, full in DTYPES.items()} | {AUTO: AUTO}
    if name not in known:
        raise BadInput(f"{argument} {shown(value)}", f"one of {', '.join([*DTYPES, AUTO])}")
    return known[name]


def dtype(value: object, torch_device: torch.device) -> torch.dtype:
    """Read the dtype of the weights, a name or a torch dtype; None is AUTO, which depends on the device.

    Raises:
        BadInput: weights cannot have it.
    """
    import torch

    if value is torch.float64:
        return torch.float64
    name = AUTO if value is None else dtype_name(value)
    if name == AUTO:
        name = "fp32" if torch_device.type == "cpu" else "bf16"
    weights: torch.dtype = getattr(torch, DTYPES[name])
    return weights


def device(value: object, argument: str = "device") -> torch.device:
    """Read a device of this machine; None is its accelerator or else the CPU; `argument` is for the message.

    Raises:
        BadInput: this machine has no such device; the message lists its devices.
    """
    import torch

    available = _devices()
    if value is None:
        return torch.device(available[1] if len(available) > 1 else "cpu")
    name = str(value) if isinstance(value, str | torch.device) else ""
    if name == "cpu:0":  # the same device
        name = "cpu"
    if name not in available:
        raise BadInput(f"{argument} {shown(value)}", "one that this machine has", ", ".join(available))
    return torch.device(name)


def _devices() -> list[str]:
    """Names of all devices: the CPU, the accelerator, and each accelerator by index."""
    import torch

    names = ["cpu"]
    if (other := torch.accelerator.current_accelerator()) is not None and torch.accelerator.is_available():
        names += [other.type, *(f"{other.type}:{i}" for i in range(torch.accelerator.device_count()))]
    return names


def device_map(value: object) -> str | dict[str, torch.device] | None:
    """Read a device map: None, one of DEVICE_MAPS, a device, or a mapping of names of modules to devices.

    A device may be the index of an accelerator. Names of modules are checked when the model is loaded.

    Raises:
        BadInput: another type, or a device that this machine lacks.
    """
    if value is None or (isinstance(value, str) and value in DEVICE_MAPS):
        return value
    try:
        if not isinstance(value, Mapping):
            return {"": _device_of(value)}
        devices = {
            str(name): _device_of(torch_device) for name, torch_device in dict(value).items() if isinstance(name, str)
        }
        if devices and len(devices) == len(value):
            return devices
    except Exception:  # BadInput of `device`, or of a foreign object, which may raise anything
        pass
    expected = f"{', '.join(DEVICE_MAPS)}, a device that this machine has, or a mapping of module names to devices"
    raise BadInput(f"device_map {shown(value)}", expected, ", ".join(_devices()))


def _device_of(value: object) -> torch.device:
    if isinstance(value, int) and not isinstance(value, bool):
        numbered = [name for name in _devices() if name.endswith(f":{value}")] if 0 <= value < MOST else []
        return device(numbered[0] if numbered else "")
    return device("" if value is None else value)


def wait(device: torch.device) -> None:
    """Wait until a device has done all its work."""
    import torch

    if device.type != "cpu":
        torch.accelerator.synchronize(device)
