"""A guide of `spatial`: a draft model that corrects cached scores for tokens that have changed since.

An entry of the cache after other tokens is corrected to r_i (`draft_model.py`); a cell that no pass has scored has
r_i = q_i. The guess is argmax(log r_i + g_i).

`runs` times before each pass of the target, the draft model reads the proposal, all nodes side by side; guesses after
the same tokens are corrected, and the proposal is made again. The first run reads the target's last proposal too, as
further branches: q' of all its slots. Entries after the same tokens as now are taken as they are. Any guess is exact
under coupled noise.

| variable | symbol |
|---|---|
| `follower.q`, `stale` | q; p' and q' by cell and tokens x' |
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.draft_model import Follower, corrected, weight
from spatialspec.methods.spatial.memory import REACH, Candidates, Entry, Key, Memory, Place, Ranking, places

NEW, CORRECTED = (0, 0), (1, 3)  # entries of so many equal tokens, so many passes ago, are as reliable


class _Stale(NamedTuple):
    """What the target and the draft model found for a cell after the same tokens."""

    p: Float[Tensor, "V"]
    q: Float[Tensor, "V"]


class Guide:
    """The guide of one image.

    Args:
        context: of the image.
        memory: of the image.
        count: candidates for a cell.

    Attributes:
        guesses: corrected ones of this pass, by cell and tokens before it.

    Raises:
        BadInput: there is no draft model, or it draws other cells.
    """

    def __init__(self, context: DecodeContext, memory: Memory, count: int) -> None:
        self.follower, self.memory, self.noise, self.count = Follower(context), memory, context.noise, count
        self.guesses: dict[Place, Candidates] = {}
        self.stale: dict[int, dict[Key, _Stale]] = {}
        self._last: list[tuple[Place, Float[Tensor, "V"]]] = []  # p of the last pass, whose q' is not known yet

    def begin(self, state: State) -> None:
        """Begin a pass."""
        self.follower.committed, self.guesses = state.tokens, {}

    def correct(self, state: State) -> None:
        """Correct the guesses for every cell after a node of the proposal that a run has read."""
        for ((cell, key), p), q in zip(self._last, self.follower.earlier, strict=False):  # both of one pass, or no p
            self.stale.setdefault(cell, {})[key] = _Stale(p, q)
        self._last, read, rows = [], dict[Place, tuple[int, int]](), list[tuple[Float[Tensor, "V"], _Stale, float]]()
        assert self.follower.guesses is not None
        for (cell, key), q in zip(places(state, self.follower.guesses), self.follower.q, strict=True):
            entry = self.memory.nearest(cell, key)
            if cell == state.layout.cells or (cell, key) in read:
                continue
            if entry is None:
                rows.append((q, _Stale(q, q), 0.0))
                read[cell, key] = NEW
            elif entry.equal < REACH and (stale := self.stale.get(cell, {}).get(entry.key)) is not None:
                rows.append((q, stale, weight(entry.equal)))
                read[cell, key] = CORRECTED
        if read:
            new, stales, weights = zip(*rows, strict=True)
            p, earlier = (torch.stack(part) for part in zip(*stales, strict=True))
            r = corrected(p, torch.stack(new), earlier, p.new_tensor(weights))
            noise = self.noise.gumbel([cell for cell, _ in read])
            best = (r.log() + noise).topk(min(self.count, noise.shape[-1]), dim=-1)
            ranking = Ranking.of(best.indices.cpu().numpy(), best.values.cpu().numpy())
            for index, (place, reliable) in enumerate(read.items()):
                self.guesses[place] = Entry(ranking, index).candidates(*reliable)

    def observe(self, step: Step) -> None:
        """Keep the target's distributions until the draft model has read the same."""
        first = step.before.frontier + len(step.written)
        self.stale = {cell: entries for cell, entries in self.stale.items() if cell >= first}
        self._last = list(zip(places(step.before, step.proposal), step.p.clone(), strict=True))
        self.follower.last = step.proposal
