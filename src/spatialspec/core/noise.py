"""Counter-based random numbers: Philox4x32-10 (Salmon et al., 2011) in integer arithmetic.

A number depends only on its key, not on the device, the batch or the order of calls. The coupled noise of a cell is
keyed by (seed, cell, token); every other number by (seed, cell, purpose, pass index, candidate).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from spatialspec.core.arguments import whole

CHUNK = 32  # cells whose coupled noise is made together
SEEDS = 2**63  # number of seeds; seed + i is taken modulo this

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


class Purpose(IntEnum):
    """Use of a random number; each purpose has an independent stream."""

    COUPLED = 0
    DRAFT = 1
    ACCEPT = 2
    RESIDUAL = 3
    ANALYSIS = 4


def philox(key: int | Int[Tensor, "*#N"], counter: Int[Tensor, "*N 4"]) -> Int[Tensor, "*N 4"]:
    """Four 32-bit words for each counter of four 32-bit words, under a 64-bit key, held in int64."""
    return torch.stack(_rounds(key, counter.unbind(-1)), dim=-1)


def _rounds(key: Any, counter: Sequence[Any]) -> tuple[Any, ...]:
    """Ten rounds, on four arrays of torch or of numpy."""
    c0, c1, c2, c3 = counter
    k0, k1 = key & _MASK, (key >> 32) & _MASK
    for _ in range(10):
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]  # wraps modulo 2^64; the shifts below undo the sign
        c0, c1, c2, c3 = ((p1 >> 32) & _MASK) ^ c1 ^ k0, p1 & _MASK, ((p0 >> 32) & _MASK) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1, c2, c3


def unit(words: Int[Tensor, "*N"]) -> Float[Tensor, "*N"]:
    """32-bit words -> uniform fp32 numbers strictly between 0 and 1, fine near 0."""
    return ((words.float() + 0.5) * 2.0**-32).clamp_(max=1 - 2.0**-24)


def image_seed(seed: int, image: int) -> int:
    """The seed of image number `image` of a request with this seed.

    Raises:
        BadInput: the request's seed is out of range.
    """
    return (whole("seed", seed, 0, SEEDS - 1, "0 to 2^63 - 1, a whole number") + image) % SEEDS


class Noise:
    """All random numbers of one image.

    Args:
        seed: of the image, 0 <= seed < 2^63; image i of a request has seed + i, modulo 2^63.
        cells: number of cells of its layout.
        vocabulary: number of image tokens V.
        device: of the numbers.
    """

    def __init__(self, seed: int, cells: int, vocabulary: int, device: torch.device | str = "cpu") -> None:
        self.seed = image_seed(seed, 0)
        self.cells, self.vocabulary, self.device = cells, vocabulary, torch.device(device)
        self._chunks: dict[int, Float[Tensor, "n V"]] = {}  # by their first cell
        self._firsts: list[int] = []  # of the chunks that `_table` is made of
        self._table: Float[Tensor, "N V"] = torch.empty(0, vocabulary, device=self.device)

    def gumbel(self, cells: Int[Tensor, "N"] | list[int]) -> Float[Tensor, "N V"]:
        """Coupled noise g(seed, cell): standard Gumbel numbers, made for 32 cells at a time.

        Chunks well before the first of `cells` are freed, as the noise of a large image takes gigabytes; they are made
        again, identically, when needed. Index `cells` of the layout, behind the last cell, serves nodes that have no
        next cell; nothing is committed from it.
        """
        indices = cells if isinstance(cells, list) else cells.tolist()
        if not indices:
            return torch.empty(0, self.vocabulary, device=self.device)
        firsts = sorted({cell - cell % CHUNK for cell in indices})
        if firsts != self._firsts:
            self._table = torch.cat([self.chunk(first) for first in firsts])
            self._firsts = firsts
        offset = {first: CHUNK * i - first for i, first in enumerate(firsts)}  # from a cell to its index in the table
        return rows(self._table, [cell + offset[cell - cell % CHUNK] for cell in indices])

    def chunk(self, first: int) -> Float[Tensor, "n V"]:
        """Coupled noise of the 32 cells from `first` on, a multiple of 32; fewer at the end. The last ones are kept."""
        if first not in self._chunks:
            self._chunks = {cell: chunk for cell, chunk in self._chunks.items() if cell >= first - 2 * CHUNK}
            self._chunks[first] = self._make(first)
        return self._chunks[first]

    def _make(self, first: int) -> Float[Tensor, "n V"]:
        last = min(first + CHUNK, self.cells + 1)
        blocks = -(-self.vocabulary // 4)
        cell, block = torch.meshgrid(
            torch.arange(first, last, device=self.device), torch.arange(blocks, device=self.device), indexing="ij"
        )
        counter = torch.stack((block, cell, torch.full_like(cell, Purpose.COUPLED), torch.zeros_like(cell)), dim=-1)
        words = philox(self.seed, counter.reshape(-1, 4)).reshape(last - first, -1)[:, : self.vocabulary]
        return -(-torch.log1p(-unit(words))).log()

    def uniform(
        self, purpose: Purpose | Sequence[Purpose], pass_index: int, cells: Sequence[int], candidates: Sequence[int]
    ) -> Float[Tensor, "N"]:
        """The same as `numbers`, on the device."""
        return torch.from_numpy(self.numbers(purpose, pass_index, cells, candidates)).to(self.device)

    def numbers(
        self, purpose: Purpose | Sequence[Purpose], pass_index: int, cells: Sequence[int], candidates: Sequence[int]
    ) -> Float[np.ndarray, "N"]:
        """Independent uniform numbers, one for each pair (cell, candidate), in pass number `pass_index`.

        Values of `unit`, in fp64. Made by the processor: for few numbers a hundred small operations of a device take
        longer.
        """
        counter = np.full((4, len(cells)), pass_index, np.int64)
        counter[0], counter[1], counter[2] = candidates, cells, purpose
        words = _rounds(self.seed, list(counter))[0].astype(np.float32)
        u = np.minimum((words + np.float32(0.5)) * np.float32(2.0**-32), np.float32(1 - 2.0**-24))
        return u.astype(np.float64)


def rows(table: Shaped[Tensor, "N *shape"], indices: Sequence[int]) -> Shaped[Tensor, "M *shape"]:
    """Rows of a table; a view of it if they follow each other."""
    first = indices[0] if indices else 0
    if list(indices) == list(range(first, first + len(indices))):
        return table[first : first + len(indices)]
    return table[list(indices)]


def best(score: Float[Tensor, "*N V"]) -> Int[Tensor, "*N"]:
    """The token with the largest score; V, which is no token, where a score is NaN."""
    largest, tokens = score.max(-1)  # the same token as argmax, in half the time
    return tokens.masked_fill_(largest.isnan(), score.shape[-1])


def inverse_cdf(p: Float[Tensor, "*N V"], u: Float[Tensor, "*N"]) -> Int[Tensor, "*N"]:
    """Sample each distribution, up to a factor, at the uniform number u; a token of probability 0 is never chosen.

    Returns V, which is no token, where a probability is NaN.
    """
    cumulative = p.cumsum(-1, dtype=torch.float64)
    threshold = (u * cumulative[..., -1]).unsqueeze(-1)
    return torch.searchsorted(cumulative, threshold, right=True).squeeze(-1)
