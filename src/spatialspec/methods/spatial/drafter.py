"""Our own exact decoder: a window refined under coupled noise, a memory of what past passes said, a tree at the front.

1. A window of open cells. A new cell copies the token above it (to its left in row 0), or starts from a draft where
   there are draft weights and `start` names them (`starts.py`); from then on every pass of the target scores it:
   log p + g, as in Jacobi decoding.
2. Memory. The scores of every row of every pass are kept, with the tokens that the row had read. The guess for a cell
   comes from the row that read the same tokens before it, or the most similar ones, not from the last pass.
3. Main path. Through the whole window, cell after cell, the best guess behind the guesses so far.
4. Tree. The rest of the budget goes to other candidates at the front, the likeliest first: the probability of a node is
   that of its parent times P(candidate) = softmax((log p + g) / tau), where tau grows as the row found fits less.

It needs no training and no weights. What a new cell starts from stands in for a guess of the target's
(`Proposal.stand_ins`): a tolerance does not keep it.

| variable | symbol |
|---|---|
| `budget` | nodes of a pass |
| `front` | share of them beside the main path |
| `behind` | max(log p + g) - (log p + g) of a candidate |
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from spatialspec.core.interfaces import Verifier
from spatialspec.core.proposal import ROOT, Proposal, Scores, Verdict
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.methods.options import parameter
from spatialspec.methods.spatial.memory import Candidates, Key, Memory, Row, Said
from spatialspec.methods.spatial.starts import STARTS, Start

MAIN = 40


@dataclass(frozen=True)
class SpatialSettings:
    """How the nodes of a pass are spent."""

    budget: int = parameter(64, "drafted nodes of a pass; 0 is AR", 0, 128)
    front: float = parameter(0.33, "share of them for the tree beside the main path", 0, 1)
    candidates: int = parameter(32, "tokens of a cell that are remembered", 1, 64)
    start: str = parameter("copy", "what new cells start from", choices=tuple(STARTS))

    @property
    def main(self) -> int:
        """Nodes of the main path: forty of them come first, and until then the tree has one in twelve."""
        return self.budget - min(int(self.front * self.budget), max(self.budget - MAIN, self.budget // 12))


class _Branch(NamedTuple):
    """Candidate number `rank` for a cell; the likeliest branch is the smallest."""

    cost: float  # minus the probability of the node
    number: int
    cell: int
    parent: int
    key: Key  # tokens before the cell
    reached: float  # probability of the parent
    guesses: Candidates
    rank: int


class Spatial:
    """The drafter of one image; the verifier is coupled noise, exact or with a tolerance."""

    Settings = SpatialSettings

    @classmethod
    def make(cls, setting: Setting, settings: SpatialSettings, verifier: Verifier) -> Spatial:
        """The drafter of one image.

        Raises:
            BadInput: new cells are to start from draft weights that are not there.
        """
        return cls(setting, settings, STARTS[settings.start](setting, verifier, settings.candidates))

    def __init__(self, setting: Setting, settings: SpatialSettings, start: Start) -> None:
        self.settings, self.start = settings, start
        self.memory, self.blocks = Memory(setting.target.codebook), start.blocks

    def propose(self, state: State) -> Proposal:
        """Main path and tree; nothing before the first token."""
        proposal = Proposal(blocks=self.blocks)
        s, room = self.settings, state.grid.cells - state.frontier
        if not state.frontier:
            return proposal
        numbers, branches = count(), list[_Branch]()

        def branch(cell: int, parent: int, key: Key, reached: float, guesses: Candidates, rank: int) -> None:
            if rank < guesses.size:
                cost = -reached * guesses.probability(rank)
                heapq.heappush(branches, _Branch(cost, next(numbers), cell, parent, key, reached, guesses, rank))

        window = range(state.frontier, state.frontier + min(s.main, room))
        started = self.start.guesses(window, [cell for cell in window if cell not in self.memory])
        written, parent, reached = list(state.tokens), ROOT, 1.0
        for cell in window:
            key = Memory.key(written)
            guesses = self.memory.find(cell, key) or started.get(cell)
            if guesses is None:
                written.append(written[cell - state.grid.columns if cell >= state.grid.columns else cell - 1])
            else:
                branch(cell, parent, key, reached, guesses, 1)
                written.append(guesses.token(0))
                reached *= guesses.probability(0)
            parent = proposal.add(cell, written[-1], parent)
        while branches and len(proposal) < s.budget:
            b = heapq.heappop(branches)
            token = b.guesses.token(b.rank)
            node = proposal.add(b.cell, token, b.parent)
            branch(b.cell, b.parent, b.key, b.reached, b.guesses, b.rank + 1)
            key = (token, *b.key[:-1])
            if (guesses := self.memory.find(b.cell + 1, key) or started.get(b.cell + 1)) is not None:
                branch(b.cell + 1, node, key, -b.cost, guesses, 0)
        proposal.stand_ins = {node for node, cell in enumerate(proposal.cells) if cell not in self.memory}
        return proposal

    def observe(
        self, state: State, proposal: Proposal, verdict: Verdict, p: Float[Tensor, "R V"], scores: Scores
    ) -> None:
        """Remember what the pass said about cells that stay open."""
        self.start.observe(state, proposal, verdict, p, scores)
        first = state.frontier + len(verdict.tokens(proposal))
        cells = [state.frontier, *(cell + 1 for cell in proposal.cells)]
        keys = [Memory.key(state.tokens)]
        for token, parent in zip(proposal.tokens, proposal.parents, strict=True):
            keys.append((token, *keys[parent + 1][:-1]))
        if still := [row for row, cell in enumerate(cells) if first <= cell < state.grid.cells]:
            assert verdict.score is not None  # of coupled noise
            said = Said.of(verdict.score[still], self.settings.candidates)
            for number, row in enumerate(still):
                self.memory.add(cells[row], keys[row], Row(said, number, state.passes))
        self.memory.forget(first)
