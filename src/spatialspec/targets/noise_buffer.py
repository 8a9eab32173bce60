"""Coupled noise of the cells that a pass scores, on the device, for all images of a session."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.noise import CHUNK, Noise

HELD = 4  # chunks of an image that there is room for at first: cells of a window


class NoiseBuffer:
    """Some chunks of the noise of every image; a chunk that no pass needs is replaced.

    Attributes:
        table: noise by image and row.
    """

    def __init__(self, vocabulary: int, device: torch.device) -> None:
        self.table: Float[Tensor, "B rows V"] = torch.empty(0, HELD * CHUNK, vocabulary, device=device)
        self._held: list[dict[int, int]] = []  # of every image: first cell of a chunk -> its first row

    def add(self, images: int) -> None:
        """Room for images behind the others."""
        self._held += [{} for _ in range(images)]
        if (missing := len(self._held) - len(self.table)) > 0:
            self.table = F.pad(self.table, (0, 0, 0, 0, 0, missing))

    @torch.inference_mode()
    def select(self, images: Sequence[int]) -> None:
        """Drop all images but these, in ascending order."""
        self._held = [self._held[image] for image in images]
        for to, image in enumerate(images):
            if to != image:
                self.table[to] = self.table[image]

    def rows(self, image: int, noise: Noise, cells: Int[np.ndarray, "N"]) -> Int[np.ndarray, "N"]:
        """Rows of some cells of an image, whose noise is made if it is not there."""
        held, chunks = self._held[image], np.unique(cells - cells % CHUNK).tolist()
        for first in chunks:
            if first not in held:
                self._hold(image, noise, first, chunks)
        starts = np.array([held[first] - first for first in chunks])
        return cells + starts[np.searchsorted(chunks, cells - cells % CHUNK)] if len(chunks) > 1 else cells + starts

    @torch.inference_mode()
    def _hold(self, image: int, noise: Noise, first: int, needed: Sequence[int]) -> None:
        held, room = self._held[image], self.table.shape[1]
        free = set(range(0, room, CHUNK)) - set(held.values())
        if not free:
            spare = [chunk for chunk in held if chunk not in needed]
            if spare:
                free = {held.pop(min(spare))}
            else:
                self.table, free = F.pad(self.table, (0, 0, 0, HELD * CHUNK)), {room}
        held[first], made = min(free), noise.chunk(first)
        self.table[image, held[first] : held[first] + len(made)] = made
