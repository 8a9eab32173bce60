"""Base of the JSON documents of commands: no unknown keys, no NaN; null is an undefined value."""

from __future__ import annotations

import platform

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from spatialspec import __version__, devices

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, full) for name, full in devices.DTYPES.items()}


class Strict(BaseModel):
    """Refuses unknown keys, NaN and infinity."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class JsonDocument(Strict):
    """The document of a command."""

    def json_text(self) -> str:
        """The document as JSON, with a line break at the end."""
        return self.model_dump_json(indent=2) + "\n"


class RunSettings(Strict):
    """Software and machine of a run.

    Attributes:
        command: its name.
        model: name of the target.
        version: of this package.
        threads: of PyTorch on the CPU.
    """

    command: str
    model: str
    version: str = __version__
    torch: str = torch.__version__
    python: str = platform.python_version()
    threads: int


def dtype_name(dtype: torch.dtype) -> str:
    """Short name of a dtype, as on the command line."""
    return next((name for name, known in DTYPES.items() if known == dtype), str(dtype).removeprefix("torch."))


def quartiles(values: list[float]) -> tuple[float, float]:
    """First and third quartile."""
    low, high = np.percentile(values, (25, 75))
    return float(low), float(high)
