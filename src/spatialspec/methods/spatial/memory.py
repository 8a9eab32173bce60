"""Cache of earlier target scores for open cells, keyed by position and preceding tokens.

While a window is refined its tokens flip back and forth. The token that a disagreement puts at a cell was often tried
there a few passes ago, in the window or in a branch of the tree. The scores behind it then predict the next cell far
better than those of the last pass, which read another token. Where that token was never tried, the entry that read the
nearest code is the next best.

    entry(cell, x) = argmax over entries of   m + cos(e_a, e_b) - age / 32

m counts equal tokens right before the cell, up to `REACH`; a and b are the first tokens that differ (no term where all
are equal); e are code vectors; the age is counted in passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

REACH = 4
FADE = 1 / 32
NONE = -1  # in place of tokens before the first cell

# How far scores err, tau, where m tokens are equal; it grows with age. Fitted to the embedded model's decoding:
# docs/papers/spatial.md
DEVIATION = (1.6, 0.45, 0.3, 0.25, 0.25)
TAU = np.outer(DEVIATION, 1 + np.arange(4) / 4)  # by m and age; entries of three passes ago and older err alike
RATE = (-1 / TAU).astype(np.float32)[:, :, None]


Key = tuple[int, ...]  # the last tokens before a cell, the nearest first


class Ranking(NamedTuple):
    """The best tokens of every scored slot of a pass.

    Attributes:
        tokens: the best of every slot, best first.
        behind: how far each is behind the best, nats.
        mass: sums of exp(-behind / tau), for every tau in `TAU`.
    """

    tokens: Int[np.ndarray, "R K"]
    behind: Float[np.ndarray, "R K"]
    mass: Float[np.ndarray, "R m age"]

    @classmethod
    def of(cls, score: Float[Tensor, "R V"], count: int) -> Ranking:
        """The best `count` tokens of every slot."""
        best, tokens = _best(score, min(count, score.shape[-1]))
        behind = best[:, :1] - best
        return cls(tokens, behind, np.exp(behind[:, None, None] * RATE).sum(-1))


class Entry(NamedTuple):
    """One slot of a ranking, and the pass it is from."""

    ranking: Ranking
    slot: int
    pass_index: int = 0

    def candidates(self, equal: int, age: int) -> Candidates:
        """Guesses behind tokens of which `equal` are those that the entry read, so many passes later."""
        err = equal, min(age, TAU.shape[1] - 1)
        return Candidates(self.ranking, self.slot, TAU.item(err), self.ranking.mass.item(self.slot, *err))


class Candidates(NamedTuple):
    """Guesses for a cell, likeliest first: candidate k is right with probability softmax((log p + g) / tau)_k.

    Attributes:
        ranking: where they are.
        slot: of the pass.
        tau: how far its scores err.
        mass: sum over candidates of exp(-behind / tau).
    """

    ranking: Ranking
    slot: int
    tau: float
    mass: float

    @property
    def size(self) -> int:
        """Number of candidates."""
        return self.ranking.tokens.shape[1]

    def token(self, rank: int) -> int:
        """The guess."""
        return self.ranking.tokens.item(self.slot, rank)

    def probability(self, rank: int) -> float:
        """That it is right."""
        return exp(-self.ranking.behind.item(self.slot, rank) / self.tau) / self.mass


def _best(score: Float[Tensor, "R V"], count: int) -> tuple[Float[np.ndarray, "R K"], Int[np.ndarray, "R K"]]:
    """The best of every slot, best first, and their tokens."""
    if score.device.type != "cpu":
        best = score.topk(count, dim=-1)
        return best.values.cpu().numpy(), best.indices.cpu().numpy()
    values = score.numpy()  # numpy's partition takes a third of the time of topk
    rows = np.arange(len(values))[:, None]
    tokens = np.argpartition(values, -count, axis=-1)[:, -count:]
    tokens = tokens[rows, np.argsort(-values[rows, tokens], axis=-1)]
    return values[rows, tokens], tokens


class Memory:
    """Entries of past passes by cell and by the tokens before it.

    Args:
        codebook: code vector of every token, of any length.
    """

    def __init__(self, codebook: Float[Tensor, "V c"]) -> None:
        codes = torch.nn.functional.normalize(codebook.float(), dim=-1).cpu().numpy()
        self.codes = np.concatenate((codes, np.zeros_like(codes[:1])))  # the last row is that of NONE
        self.pass_index = 0
        self._cells: dict[int, dict[Key, Entry]] = {}
        self._likeness: dict[tuple[int, int], float] = {}

    @staticmethod
    def key(before: Sequence[int]) -> Key:
        """The last tokens before a cell, the nearest first."""
        near = tuple(before[: -REACH - 1 : -1])
        return near + (NONE,) * (REACH - len(near))

    def __contains__(self, cell: int) -> bool:
        return cell in self._cells

    def add(self, cell: int, key: Key, entry: Entry) -> None:
        """Store an entry; it replaces one that read the same."""
        self._cells.setdefault(cell, {})[key] = entry
        self.pass_index = entry.pass_index

    def forget(self, first: int) -> None:
        """Drop the cells before `first`."""
        for cell in [cell for cell in self._cells if cell < first]:
            del self._cells[cell]

    def find(self, cell: int, key: Key) -> Candidates | None:
        """The best entry for a cell behind these tokens; None where no pass has scored the cell yet."""
        entries = self._cells.get(cell)
        if entries is None:
            return None
        entry, equal = entries.get(key), REACH
        if entry is None or entry.pass_index < self.pass_index:
            entry, equal = self._nearest(entries, key)
        return entry.candidates(equal, self.pass_index - entry.pass_index)

    def _nearest(self, entries: dict[Key, Entry], key: Key) -> tuple[Entry, int]:
        """The entry with the largest m + cos - age / 32, and its m; a cell has few, so they are tried in turn."""
        highest, best = -inf, None
        for read, entry in entries.items():
            equal = 0
            while equal < REACH and read[equal] == key[equal]:
                equal += 1
            score = equal - FADE * (self.pass_index - entry.pass_index)
            if equal < REACH and score + 1 > highest:  # else its code cannot help
                score += self._cosine(read[equal], key[equal])
            if score > highest:
                highest, best = score, (entry, equal)
        assert best is not None  # a cell has an entry
        return best

    def _cosine(self, a: int, b: int) -> float:
        if (a, b) not in self._likeness:
            self._likeness[a, b] = float(self.codes[a] @ self.codes[b])
        return self._likeness[a, b]
