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
    behind: list[float]
    turn: int


class Candidates(NamedTuple):
    """Guesses for a cell, likeliest first, and the probability that each is right."""

    tokens: list[int]
    probabilities: list[float]


class Memory:
    """Rows of past passes by cell and by the tokens before it.

    Args:
        codebook: code vector of every token, of any length.
    """

    def __init__(self, codebook: Float[Tensor, "V c"]) -> None:
        codes = torch.nn.functional.normalize(codebook.float(), dim=-1).cpu().numpy()
        self.codes = np.concatenate((codes, np.zeros_like(codes[:1])))  # the last row is that of NONE
        self.turn = 0
        self._rows: dict[int, dict[Key, Row]] = {}
        self._read: dict[int, tuple[np.ndarray, np.ndarray, list[Row]]] = {}

    @staticmethod
    def key(before: Sequence[int]) -> Key:
        """The last tokens before a cell, the nearest first."""
        near = tuple(before[: -REACH - 1 : -1])
        return near + (NONE,) * (REACH - len(near))

    def __contains__(self, cell: int) -> bool:
        return cell in self._rows

    def add(self, cell: int, key: Key, row: Row) -> None:
        """Keep a row; it takes the place of one that read the same."""
        self._rows.setdefault(cell, {})[key] = row
        self._read.pop(cell, None)
        self.turn = row.turn

    def forget(self, first: int) -> None:
        """Drop the cells before `first`."""
        for cell in [cell for cell in self._rows if cell < first]:
            del self._rows[cell]
            self._read.pop(cell, None)

    def find(self, cell: int, key: Key) -> Candidates | None:
        """The best row for a cell behind these tokens; None where no pass has scored the cell yet."""
        if cell not in self._rows:
            return None
        row = self._rows[cell].get(key)
        equal = REACH
        if row is None or row.turn < self.turn:
            row, equal = self._nearest(cell, key)
        tau = SPREAD[equal] * (1 + min(self.turn - row.turn, 3) / 4)
        weights = np.exp(-np.asarray(row.behind) / tau)
        return Candidates(row.tokens, (weights / weights.sum()).tolist())

    def _nearest(self, cell: int, key: Key) -> tuple[Row, int]:
        if cell not in self._read:
            there = self._rows[cell]
            self._read[cell] = np.array(list(there)), np.array([row.turn for row in there.values()]), [*there.values()]
        read, turns, rows = self._read[cell]
        want = np.array(key)
        equal = (read == want).cumprod(axis=1).sum(axis=1)
        first = np.minimum(equal, REACH - 1)
        near = (self.codes[read[np.arange(len(read)), first]] * self.codes[want[first]]).sum(axis=1)
        score = equal + np.where(equal < REACH, near, 0.0) - FADE * (self.turn - turns)
        best = int(score.argmax())
        return rows[best], int(equal[best])
