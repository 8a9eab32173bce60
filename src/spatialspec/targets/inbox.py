"""Inputs of a pass in one array of whole numbers, which goes to the device in one copy."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import torch
from torch import Tensor

WORD = 4  # bytes
KINDS: dict[str, tuple[type, torch.dtype]] = {
    "int": (np.int32, torch.int32),
    "float": (np.float32, torch.float32),
    "bool": (np.bool_, torch.bool),
}

Field = tuple[str, tuple[int, ...]]  # a name of `KINDS`, and a shape


class Inbox:
    """A host array and its copy on a device, the same memory on a CPU. It keeps its place while passes fit into it.

    Args:
        device: of the copy.
        words: numbers that fit in.
    """

    def __init__(self, device: torch.device, words: int) -> None:
        self.device, self._end = device, 0
        self._key: tuple[tuple[str, Field], ...] | None = None
        self._arrays: dict[str, np.ndarray] = {}
        self._tensors: dict[str, Tensor] = {}
        self._make(words)

    def _make(self, words: int) -> None:
        pinned = self.device.type == "cuda"
        self._sent = torch.zeros(words, dtype=torch.int32, pin_memory=pinned)
        self._host: np.ndarray = self._sent.numpy()
        self._copy = self._sent if self.device.type == "cpu" else self._sent.to(self.device)

    def fields(self, fields: Mapping[str, Field]) -> tuple[dict[str, np.ndarray], dict[str, Tensor]]:
        """Lay the fields out, one behind the other: arrays to fill, set to zero, and tensors that `send` fills."""
        key = tuple(fields.items())
        if key != self._key:
            starts, end = [], 0
            for kind, shape in fields.values():
                starts.append(end)
                end += -(-prod(shape) * np.dtype(KINDS[kind][0]).itemsize // WORD)
            if end > len(self._host):
                self._make(2 * end)
            self._key, self._end = key, end
            self._arrays, self._tensors = {}, {}
            for start, (name, (kind, shape)) in zip(starts, fields.items(), strict=True):
                of_host, of_copy = KINDS[kind]
                self._arrays[name] = self._host[start:end].view(of_host)[: prod(shape)].reshape(shape)
                self._tensors[name] = self._copy[start:end].view(of_copy)[: prod(shape)].view(shape)
        self._host[: self._end] = 0
        return self._arrays, self._tensors

    def send(self) -> None:
        """The one copy to the device."""
        if self._copy is not self._sent:
            self._copy[: self._end].copy_(self._sent[: self._end], non_blocking=True)
