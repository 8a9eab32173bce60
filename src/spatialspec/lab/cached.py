"""Cache files for features and maps of frozen networks, for the training of judges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from spatialspec.drafts.shards import whole
from spatialspec.io.tensors import write_tensors


def cached(path: Path | None, count: int, build: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of a file; computed and saved if it is missing or damaged.

    Args:
        path: its name identifies everything that the tensors depend on; None saves nothing.
        count: length of each tensor.
        build: computes them.
    """
    if path is not None and whole(path):
        tensors = load_file(path)
        if tensors and all(tensor.dim() and len(tensor) == count for tensor in tensors.values()):
            return tensors
    tensors = build()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, tensors)
    return tensors
