"""Cache of earlier target scores for open cells, keyed by position and preceding tokens.

While a window is refined its tokens alternate. When a cell changes, its new token was often read a few passes ago, in
the window or in a branch of the tree. The scores after that token predict the next cell far better than the scores of
the last pass, which read another token. If it was never read, the entry that read the nearest code is used.

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
from torch.utils.weak import WeakIdKeyDictionary

from spatialspec.core.errors import NotFinite
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State

REACH = 4
FADE = 1 / 32
NONE = -1  # placeholder for tokens before the first cell

# Typical error of cached scores, tau, by the number m of equal tokens; it grows with age. Fitted to the embedded model:
# docs/papers/spatial.md
DEVIATION = (1.6, 0.45, 0.3, 0.25, 0.25)
TAU = np.outer(DEVIATION, 1 + np.arange(4) / 4)  # by m and age; ages of three passes and more count as three
RATE = (-1 / TAU).astype(np.float32)[:, :, None]


Key = tuple[int, ...]  # the last tokens before a cell, the nearest first
Place = tuple[int, Key]  # a cell, and the tokens before it


class Ranking(NamedTuple):
    """The best tokens of every scored slot of a pass.

    Attributes:
        tokens: of every slot, best first.
        behind: score difference to the best, nats.
        mass: sums of exp(-behind / tau), for every tau in `TAU`.
    """

    tokens: Int[np.ndarray, "R K"]
    behind: Float[np.ndarray, "R K"]
    mass: Float[np.ndarray, "R m age"]

    @classmethod
    def of(cls, tokens: Int[np.ndarray, "R K"], scores: Float[np.ndarray, "R K"]) -> Ranking:
        """From the best tokens of every slot and their scores, best first."""
        behind = scores[:, :1] - scores
        return cls(tokens, behind, np.exp(behind[:, None, None] * RATE).sum(-1))


class Entry(NamedTuple):
    """One slot of a ranking, and the index of its pass."""

    ranking: Ranking
    slot: int
    pass_index: int = 0

    def candidates(self, equal: int, age: int) -> Candidates:
        """Guesses after tokens of which the last `equal` are the entry's, `age` passes later."""
        index = equal, min(age, TAU.shape[1] - 1)
        return Candidates(self.ranking, self.slot, TAU.item(index), self.ranking.mass.item(self.slot, *index))


class Nearest(NamedTuple):
    """The best entry for a cell after some tokens: the tokens that it read, and how many right before it are equal."""

    key: Key
    entry: Entry
    equal: int


class Candidates(NamedTuple):
    """Guesses for a cell, likeliest first: candidate k is right with probability softmax((log p + g) / tau)_k.

    Attributes:
        ranking: their tokens and scores.
        slot: index in the ranking.
        tau: typical error of the scores.
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
        """Candidate number `rank`."""
        return self.ranking.tokens.item(self.slot, rank)

    def probability(self, rank: int) -> float:
        """Probability that candidate number `rank` is right."""
        return exp(-self.ranking.behind.item(self.slot, rank) / self.tau) / self.mass


_DIRECTIONS = WeakIdKeyDictionary()  # of codebooks; freed with them


def directions(codebook: Float[Tensor, "V c"]) -> Float[np.ndarray, "rows c"]:
    """Normalised code vectors, computed once for a codebook; behind them zeros, for the index NONE.

    Raises:
        NotFinite: one is no number.
    """
    if codebook not in _DIRECTIONS:
        codes = torch.nn.functional.normalize(codebook.float(), dim=-1).cpu()
        if not codes.isfinite().all():
            raise NotFinite("codes of the codebook")
        _DIRECTIONS[codebook] = torch.cat((codes, torch.zeros_like(codes[:1]))).numpy()
    found: Float[np.ndarray, "rows c"] = _DIRECTIONS[codebook]
    return found


class Memory:
    """Cache of entries by cell and preceding tokens.

    Args:
        codebook: code vector of every token, not necessarily normalised.

    Raises:
        NotFinite: an entry of the codebook is no number.
    """

    def __init__(self, codebook: Float[Tensor, "V c"]) -> None:
        self.codes = directions(codebook)
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
        """Store an entry; it replaces one with the same key."""
        self._cells.setdefault(cell, {})[key] = entry
        self.pass_index = entry.pass_index

    def forget(self, first: int) -> None:
        """Drop the cells before `first`."""
        for cell in [cell for cell in self._cells if cell < first]:
            del self._cells[cell]

    def find(self, cell: int, key: Key) -> Candidates | None:
        """Candidates of the best entry for a cell after these tokens; None if no pass has scored the cell."""
        found = self.nearest(cell, key)
        return None if found is None else found.entry.candidates(found.equal, self.pass_index - found.entry.pass_index)

    def nearest(self, cell: int, key: Key) -> Nearest | None:
        """The entry for a cell with the largest m + cos - age / 32; None if no pass has scored the cell."""
        entries = self._cells.get(cell)
        if entries is None:
            return None
        entry = entries.get(key)
        if entry is not None and entry.pass_index == self.pass_index:
            return Nearest(key, entry, REACH)
        highest, best = -inf, None
        for read, entry in entries.items():  # a cell has few
            equal = 0
            while equal < REACH and read[equal] == key[equal]:
                equal += 1
            score = equal - FADE * (self.pass_index - entry.pass_index)
            if equal < REACH and score + 1 > highest:  # otherwise no cosine makes it the best
                score += self._cosine(read[equal], key[equal])
            if score > highest:
                highest, best = score, Nearest(read, entry, equal)
        return best

    def _cosine(self, a: int, b: int) -> float:
        if (a, b) not in self._likeness:
            self._likeness[a, b] = float(self.codes[a] @ self.codes[b])
        return self._likeness[a, b]


def places(state: State, proposal: Proposal) -> list[Place]:
    """The cell after every slot of a proposal, and the tokens before it."""
    found = [(state.frontier, Memory.key(state.tokens))]
    for cell, token, parent in zip(proposal.cells, proposal.tokens, proposal.parents, strict=True):
        found.append((cell + 1, (token, *found[parent + 1][1][:-1])))
    return found
