"""Many replicas of one image with different seeds, through the shipped loop, with random numbers from a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.core.context import DecodeContext
from spatialspec.core.grid import Grid, Layout
from spatialspec.core.interfaces import Head, Session
from spatialspec.core.noise import CHUNK, Noise, Purpose, philox, unit
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.decode import Image, decode
from spatialspec.drafts.registry import kinds
from spatialspec.methods.draft_model import DraftTarget
from spatialspec.methods.method import Method
from spatialspec.methods.network import DraftNetwork
from spatialspec.request import Request


class Toy(Head, Protocol):
    """A target small enough to enumerate."""

    @property
    def grid(self) -> Layout:
        """Its cells, in one grid or several."""
        ...

    def layout(self, grid: Grid) -> Layout:
        """The cells of the toy."""
        ...

    def session(self, prompts: Sequence[str], negatives: Sequence[str], sampling: Sampling, grid: Grid) -> Session:
        """Start images, one per prompt."""
        ...

    def joint(self, sampling: Sampling) -> Float[np.ndarray, "images"]:
        """Joint probabilities of all V^cells images, tokens as digits of the index, cell 0 first."""
        ...

    def drafts(self, kind: str, seed: int, count: int = ...) -> DraftNetwork:
        """Draft weights drawn at random."""
        ...

    def sibling(self, seed: int) -> Any:
        """A target with the same tokens and other weights, drawn at random."""
        ...


class NoiseTable:
    """Random numbers of images with seeds first .. first + count - 1, from few calls of the shipped generator.

    Attributes:
        uniform: (count, candidates, cells, purposes, passes), the first indices of each.
        gumbel: (count, cells + 1, V).
    """

    candidates = 5

    def __init__(self, count: int, cells: int, vocabulary: int, first: int = 0) -> None:
        self.first, self.cells, self.vocabulary = first, cells, vocabulary
        sizes = (self.candidates, cells, 4, cells)  # the words of the counter: candidate, cell, purpose, pass
        blocks = -(-vocabulary // 4)
        parts = (first + torch.arange(count)).split(250)
        self.uniform = torch.cat([unit(self._words(seeds, sizes)[..., 0]) for seeds in parts]).numpy()
        words = torch.cat([self._words(seeds, (blocks, cells + 1, 1, 1)) for seeds in parts])[:, :, :, 0, 0]
        words = words.transpose(1, 2).reshape(count, cells + 1, 4 * blocks)[..., :vocabulary]
        self.gumbel = -(-torch.log1p(-unit(words))).log()

    @staticmethod
    def _words(seeds: Int[Tensor, "N"], sizes: tuple[int, ...]) -> Int[Tensor, "N *sizes 4"]:
        counter = torch.cartesian_prod(*(torch.arange(size) for size in sizes))
        words = philox(seeds[:, None], counter[None].expand(len(seeds), -1, -1))
        return words.view(len(seeds), *sizes, 4)


class TableNoise(Noise):
    """`Noise` from a table, with equal numbers; a hundred times as fast."""

    def __init__(self, seed: int, table: NoiseTable) -> None:
        super().__init__(seed, table.cells, table.vocabulary)
        self._uniform, self._gumbel = table.uniform[seed - table.first], table.gumbel[seed - table.first]

    def gumbel(self, cells: Int[Tensor, "N"] | list[int]) -> Float[Tensor, "N V"]:
        """As `Noise.gumbel`."""
        return self._gumbel[cells]

    def chunk(self, first: int) -> Float[Tensor, "n V"]:
        """As `Noise.chunk`."""
        return self._gumbel[first : first + CHUNK]

    def numbers(
        self, purpose: Purpose | Sequence[Purpose], pass_index: int, cells: Sequence[int], candidates: Sequence[int]
    ) -> Float[np.ndarray, "N"]:
        """As `Noise.numbers`."""
        try:
            return self._uniform[list(candidates), list(cells), purpose, pass_index].astype(np.float64)
        except IndexError:  # an index beyond the table
            return super().numbers(purpose, pass_index, cells, candidates)


@dataclass(frozen=True)
class Trial:
    """A method on a toy target.

    Attributes:
        method, verifier: as on the command line.
        sampling: of all replicas.
        target: the toy.
        heads: seed of the draft weights.
        count: heads or predictors in each direction.
    """

    method: str
    verifier: str
    sampling: Sampling
    target: Toy
    heads: int = 0
    count: int = 3

    @cached_property
    def _parsed(self) -> Method:
        return Method.parse(self.method)

    @cached_property
    def drafts(self) -> list[nn.Module]:
        """Weights of every kind, and a draft model."""
        networks = [self.target.drafts(kind, self.heads, self.count) for kind in kinds()]
        return [*networks, DraftTarget(self.target.sibling(self.heads), self.target)]

    def image(self, noise: Noise) -> Image:
        """An image to decode, made by the registry of methods."""
        t = self.target
        request = Request([""], [noise.seed], self.sampling, t.grid.grids[-1])
        context = DecodeContext(t, self.drafts, self.sampling, t.grid, noise, request)
        return Image(State(t.grid), *self._parsed.make(context, self.verifier), self.sampling)

    def tokens(self, noises: Sequence[Noise], batch: int = 250) -> Int[np.ndarray, "images cells"]:
        """Decode one image per noise, `batch` images in a run of the shipped loop."""
        t = self.target
        tokens: list[tuple[int, ...]] = []
        for start in range(0, len(noises), batch):
            images = [self.image(noise) for noise in noises[start : start + batch]]
            for _ in decode(t.session([""] * len(images), [""] * len(images), self.sampling, t.grid.grids[-1]), images):
                pass
            tokens += [image.state.tokens for image in images]
        return np.array(tokens, dtype=np.int64).reshape(len(noises), t.grid.cells)


def codes(tokens: Int[np.ndarray, "images cells"], vocabulary: int) -> Int[np.ndarray, "images"]:
    """Images -> their index in the joint distribution."""
    return np.ravel_multi_index(tuple(tokens.T), (vocabulary,) * tokens.shape[1])
