"""Reading and writing weights: safetensors only, checked before use, written atomically."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


def read_config(path: Path, required: Sequence[str]) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: the file is missing, is no JSON object, or lacks a required key.
    """
    if not path.is_file():
        raise ValueError(f"got no file {path}, expected a model folder with {path.name}: check the path")
    try:
        config = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected JSON, got a file that does not parse ({error}): fetch it again") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(config).__name__}: fetch it again")
    missing = [key for key in required if key not in config]
    if missing:
        raise ValueError(f"{path}: expected the keys {', '.join(required)}, got none for {', '.join(missing)}")
    return config


def read_weights(
    module: nn.Module, path: Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> None:
    """Load a safetensors file whose names and shapes are exactly the module's.

    Args:
        module: to be filled; one on the meta device gets its tensors on `device`, so that no weight is there twice.
        path: of the file.
        device: of a module that is on the meta device.
        dtype: of its floating-point tensors; None is the file's.

    Raises:
        ValueError: the file is missing, truncated or foreign; the message names the first difference.
    """
    if not path.is_file():
        raise ValueError(f"got no file {path}, expected weights: check the folder")
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    try:
        with safe_open(path, "pt") as file:
            got = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            for name in sorted(expected.keys() | got.keys()):
                if expected.get(name) != got.get(name):
                    e, g = expected.get(name, "no such tensor"), got.get(name, "no such tensor")
                    raise ValueError(f"{path}: tensor {name}: got {g}, expected {e}: the file is for another model")
            bare = any(tensor.is_meta for tensor in module.state_dict().values())
            tensors = ((name, file.get_tensor(name)) for name in got)
            placed = {n: t.to(device, dtype if t.is_floating_point() else None) if bare else t for n, t in tensors}
            module.load_state_dict(placed, assign=bare)
    except SafetensorError as error:
        raise ValueError(f"{path}: expected safetensors, got a damaged file ({error}): fetch it again") from error


def open_up(path: Path) -> None:
    """Let others read a file as they may read any new one; what makes temporary files keeps them private."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Where to write the new file; at the end of the block it is on the disk, whole, and replaces the old one.

    Raises:
        OSError: it could not be written; the old file is as it was, and no part of the new one is left.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())  # a rename may reach the disk before what it names
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise OSError(
            f"{path}: could not be written ({error}): make room and run the same command again; "
            "what is finished is kept"
        ) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file beside the old one, then replace it.

    Raises:
        OSError: it could not be written; the old file is as it was, and no part of the new one is left.
    """
    with _beside(path) as partial:
        save_file(dict(tensors), partial, metadata=metadata)
        open_up(partial)


def write_weights(module: nn.Module, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a module's tensors in bfloat16, as `write_tensors` does."""
    tensors = {
        name: (t.to(torch.bfloat16) if t.is_floating_point() else t).detach().cpu().contiguous()
        for name, t in module.state_dict().items()
    }
    write_tensors(path, tensors, metadata)


def write_text(path: Path, text: str) -> None:
    """Write a text file, as `write_tensors` does.

    Raises:
        OSError: it could not be written; the old file is as it was, and no part of the new one is left.
    """
    with _beside(path) as partial:
        partial.write_text(text, encoding="utf-8")
