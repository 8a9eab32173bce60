"""Guides of `spatial`: what corrects cached scores for tokens that have changed since.

`runs` times before each pass of the target, a guide reads the proposal, all nodes side by side; guesses after the same
tokens are corrected to r, and the proposal is made again. The guess for cell i is argmax(log r_i + g_i). Entries of the
cache after the same tokens as now are taken as they are. Any guess is exact under coupled noise.

| `guide` | r |
|---|---|
| `sibling` | of a draft model, from its distributions then and now (`draft_model.py`) |
| `trained` | of a network that reads the target's states then and the tokens now (`trained_guide.py`) |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.clock import DraftCost
from spatialspec.core.context import DecodeContext
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.draft_model import Follower, Group, corrected, weight
from spatialspec.methods.spatial.memory import REACH, Candidates, Entry, Key, Memory, Place, Ranking, places

NEW, CORRECTED = (0, 0), (1, 3)  # entries of so many equal tokens, so many passes ago, are as reliable


class Guide:
    """Base of the guides of one image.

    Args:
        context: of the image.
        memory: of the image.
        count: candidates for a cell.

    Attributes:
        guesses: corrected ones of this pass, by cell and tokens before it.
        cost: runs so far; None where they are not passes of a draft model.
    """

    cost: DraftCost | None = None

    def __init__(self, context: DecodeContext, memory: Memory, count: int) -> None:
        self.memory, self.noise, self.count = memory, context.noise, count
        self.guesses: dict[Place, Candidates] = {}

    @classmethod
    def join(cls, guides: Sequence[Self]) -> None:
        """The images of the next passes, before the first run."""

    @classmethod
    def run(cls, guides: Sequence[Self], states: Sequence[State], proposals: Sequence[Proposal]) -> None:
        """One run, over the proposal of every image."""
        raise NotImplementedError

    def begin(self, state: State) -> None:
        """Begin a pass."""
        self.guesses = {}

    def observe(self, step: Step) -> None:
        """Keep what the runs before the next pass need of this one."""
        raise NotImplementedError

    def guess(self, r: Float[Tensor, "N V"], reliable: dict[Place, tuple[int, int]]) -> None:
        """Take guesses from r of some places, which are as reliable as an entry of (equal tokens, passes ago)."""
        noise = self.noise.gumbel([cell for cell, _ in reliable])
        best = (r.log() + noise).topk(min(self.count, noise.shape[-1]), dim=-1)
        ranking = Ranking.of(best.indices.cpu().numpy(), best.values.cpu().numpy())
        for index, (place, equal_and_age) in enumerate(reliable.items()):
            self.guesses[place] = Entry(ranking, index).candidates(*equal_and_age)


class _Stale(NamedTuple):
    """What the target and the draft model found for a cell after the same tokens: p' and q'."""

    p: Float[Tensor, "V"]
    q: Float[Tensor, "V"]


class SiblingGuide(Guide):
    """The guide `sibling`. A cell that no pass has scored has r = q.

    The first run reads the target's last proposal too, as further branches: q' of all its slots.

    Raises:
        BadInput: there is no draft model, or it draws other cells.
    """

    def __init__(self, context: DecodeContext, memory: Memory, count: int) -> None:
        super().__init__(context, memory, count)
        self.follower = Follower(context)
        self.cost = self.follower.cost
        self.stale: dict[int, dict[Key, _Stale]] = {}
        self._last: list[tuple[Place, Float[Tensor, "V"]]] = []  # p of the last pass, whose q' is not known yet

    @classmethod
    def join(cls, guides: Sequence[Self]) -> None:
        """See :class:`Guide`: all share the passes of the draft model."""
        Group.of([guide.follower for guide in guides])

    @classmethod
    def run(cls, guides: Sequence[Self], states: Sequence[State], proposals: Sequence[Proposal]) -> None:
        """See :class:`Guide`."""
        for guide, proposal in zip(guides, proposals, strict=True):
            guide.follower.guesses = proposal
        group = guides[0].follower.group
        assert group is not None, "join comes first"
        group.run()
        for guide, state in zip(guides, states, strict=True):
            guide.correct(state)
            guide.follower.guesses = None

    def begin(self, state: State) -> None:
        """See :class:`Guide`."""
        super().begin(state)
        self.follower.committed = state.tokens

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
            self.guess(corrected(p, torch.stack(new), earlier, p.new_tensor(weights)), read)

    def observe(self, step: Step) -> None:
        """See :class:`Guide`: the target's distributions, until the draft model has read the same."""
        first = step.before.frontier + len(step.written)
        self.stale = {cell: entries for cell, entries in self.stale.items() if cell >= first}
        self._last = list(zip(places(step.before, step.proposal), step.p.clone(), strict=True))
        self.follower.last = step.proposal
