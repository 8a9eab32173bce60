"""Figures measured on this machine, in the user's cache folder."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from spatialspec.io.identity import facts_digest
from spatialspec.io.sealed import read_sealed, write_sealed


def saved(kind: str, facts: dict[str, Any], measured: Callable[[], Any]) -> Any:
    """Figures that depend on some facts, from the user's cache folder; measured where it has none."""
    path = folder() / kind / f"{facts_digest(facts)}.json"
    if (known := read_sealed(path)) is not None:
        return known["figures"]
    figures = measured()
    with suppress(OSError):  # no room or no right to write: measured again next time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, {"figures": figures})
    return figures


def folder() -> Path:
    """The package's part of the user's cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # not set, or to be ignored by the XDG specification
        try:
            cache = Path.home() / ".cache"
        except RuntimeError:  # a user without a home, as in some containers
            cache = Path(tempfile.gettempdir())
    return cache / "spatialspec"


def machine(device: torch.device) -> str:
    """Processor, computer, and the accelerator or the number of threads."""
    device_name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} {torch.get_num_threads()}"
    )
    return f"{processor()}, {platform.node()}, {device_name}"


def processor(info: Path = Path("/proc/cpuinfo")) -> str:
    """Model name of the processor, as the system reports it."""
    with suppress(OSError):
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
