"""What past passes said about open cells, found again by the tokens that they read.

While a window is refined its tokens flip back and forth. The token that a disagreement puts at a cell was often tried
there a few passes ago, in the window or in a branch of the tree, and the scores of that row tell far more about the
next cell than those of the last pass, which read another token. Where the very token was never tried, the row that read
the nearest code is the next best.

    row(cell, x) = argmax over rows of   m + cos(e_a, e_b) - age / 32

m counts equal tokens right before the cell, up to `REACH`; a and b are the first tokens that differ (no term where all
are equal); e are code vectors; the age is counted in passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

REACH = 4
FADE = 1 / 32
NONE = -1  # in place of tokens before the first cell

# How far scores err, tau, where m tokens are equal; it grows with age. Fitted to the embedded model's decoding:
# docs/papers/spatial.md
SPREAD = (1.6, 0.45, 0.3, 0.25, 0.25)


Key = tuple[int, ...]  # the last tokens before a cell, the nearest first


class Row(NamedTuple):
    """What one row of a pass says about its cell.

    Attributes:
        tokens: best ones, best first.
        behind: how far each is behind the best, nats.
        turn: the pass.
    """

    tokens: list[int]
    behind: Float[np.ndarray, "K"]
    turn: int


class Candidates(NamedTuple):
    """Guesses for a cell, likeliest first, and the probability that each is right."""

    tokens: list[int]
    probabilities: list[float]


class _Cell:
    """All rows of a cell, what they read side by side, so that they are compared at once."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.place: dict[Key, int] = {}
        self.read: np.ndarray = np.empty((16, REACH), dtype=np.int64)
        self.turns: np.ndarray = np.empty(16)

    def add(self, key: Key, row: Row) -> None:
        place = self.place.setdefault(key, len(self.rows))
        if place == len(self.turns):
            self.read, self.turns = np.tile(self.read, (2, 1)), np.tile(self.turns, 2)
        if place == len(self.rows):
            self.rows.append(row)
            self.read[place] = key
        self.rows[place], self.turns[place] = row, row.turn


class Memory:
    """Rows of past passes by cell and by the tokens before it.

    Args:
        codebook: code vector of every token, of any length.
    """

    def __init__(self, codebook: Float[Tensor, "V c"]) -> None:
        codes = torch.nn.functional.normalize(codebook.float(), dim=-1).cpu().numpy()
        self.codes = np.concatenate((codes, np.zeros_like(codes[:1])))  # the last row is that of NONE
        self.turn = 0
        self._cells: dict[int, _Cell] = {}

    @staticmethod
    def key(before: Sequence[int]) -> Key:
        """The last tokens before a cell, the nearest first."""
        near = tuple(before[: -REACH - 1 : -1])
        return near + (NONE,) * (REACH - len(near))

    def __contains__(self, cell: int) -> bool:
        return cell in self._cells

    def add(self, cell: int, key: Key, row: Row) -> None:
        """Keep a row; it takes the place of one that read the same."""
        if cell not in self._cells:
            self._cells[cell] = _Cell()
        self._cells[cell].add(key, row)
        self.turn = row.turn

    def forget(self, first: int) -> None:
        """Drop the cells before `first`."""
        for cell in [cell for cell in self._cells if cell < first]:
            del self._cells[cell]

    def find(self, cell: int, key: Key) -> Candidates | None:
        """The best row for a cell behind these tokens; None where no pass has scored the cell yet."""
        there = self._cells.get(cell)
        if there is None:
            return None
        place, equal = there.place.get(key), REACH
        if place is None or there.turns[place] < self.turn:
            place, equal = self._nearest(there, key)
        row = there.rows[place]
        tau = SPREAD[equal] * (1 + min(self.turn - row.turn, 3) / 4)
        weights = np.exp(row.behind * (-1 / tau))
        return Candidates(row.tokens, (weights / weights.sum()).tolist())

    def _nearest(self, there: _Cell, key: Key) -> tuple[int, int]:
        count = len(there.rows)
        read, want = there.read[:count], np.array(key)
        equal = np.logical_and.accumulate(read == want, axis=1).sum(axis=1)
        first = np.minimum(equal, REACH - 1)
        near = np.einsum("nc,nc->n", self.codes[read[np.arange(count), first]], self.codes[want[first]])
        score = equal + near * (equal < REACH) - FADE * (self.turn - there.turns[:count])
        best = int(score.argmax())
        return best, int(equal[best])
