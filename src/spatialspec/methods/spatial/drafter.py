"""An exact decoder without training: a window refined under coupled noise, a cache of scores, a tree at the front.

1. Window. A new cell copies the token above it (to its left in row 0), or takes a token of a draft model (`start`, see
   `starts.py`). From then on every pass of the target scores it: log p + g, as in Jacobi decoding.
2. Memory. The scores of every slot are cached by position and preceding tokens. The guess for a cell comes from the
   entry with the same preceding tokens, or the most similar ones, not from the last pass.
3. Main path. The best guess for each cell of the window, given the guesses before it.
   A guide corrects cached scores after other tokens (`guide.py`).
4. Tree. The rest of the budget is spent on other candidates at the front, the likeliest first. The probability of a
   node is that of its parent times P(candidate) = softmax((log p + g) / tau); tau is larger for a less similar entry.
   The tree ends before a node that is less probable than the price, what its time would bring elsewhere
   (`--budget auto`). The length of the main path is fixed: what its nodes are worth depends on their distance alone.

The first token of a new cell is a placeholder (`Proposal.placeholders`): a tolerance does not accept it.

Several grids: window, memory and tree may cross from one into the next. The first row of each copies from the left, and
its first cell copies the last cell of the grid before.

| variable | symbol |
|---|---|
| `budget` | nodes of a pass |
| `front` | share of them beside the main path |
| `price` | T'(n) / T(n) E(n), cells |
| `horizon` | s: passes of n nodes commit E(n) = 1 + A (1 - exp(-n / s)) cells |
| `behind` | max(log p + g) - (log p + g) of a candidate |
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import count
from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import Field

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Drafter, Verifier
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.method import Method
from spatialspec.methods.options import Budget, Tolerance
from spatialspec.methods.spatial.guide import Guide, SiblingGuide
from spatialspec.methods.spatial.memory import Candidates, Entry, Key, Memory, Ranking, places
from spatialspec.methods.spatial.starts import STARTS
from spatialspec.methods.spatial.trained_guide import TrainedGuide

GUIDES: dict[str, type[Guide]] = {"sibling": SiblingGuide, "trained": TrainedGuide}
MAIN = 40  # nodes of the main path that precede a larger tree


class SpatialOptions(Budget, Tolerance):
    """How the nodes of a pass are used."""

    horizon: ClassVar[float] = 36.0  # fitted to the embedded model: docs/papers/spatial.md

    price: float = Field(default=0, ge=0, le=1, description="least probability of a node of the tree")
    front: float = Field(default=0.33, ge=0, le=1, description="share of the budget for the tree beside the main path")
    candidates: int = Field(default=32, ge=1, le=64, description="tokens of a cell that are stored")
    start: Literal["copy", "hawk", "spatial-model"] = Field(default="copy", description="what new cells start from")
    guide: Literal["none", "sibling", "trained"] = Field(
        default="none", description="what corrects cached scores: --draft-model, or draft weights"
    )
    runs: int = Field(default=1, ge=1, le=8, description="runs of the guide per pass of the target")

    @property
    def main(self) -> int:
        """Nodes of the main path: at least MAIN where the budget allows; below that the tree has one node in twelve."""
        return self.budget - min(int(self.front * self.budget), max(self.budget - MAIN, self.budget // 12))


class _Cell(NamedTuple):
    """A cell after some tokens, with its guesses."""

    cell: int
    parent: int
    key: Key  # tokens before the cell
    reached: float  # probability of the parent
    guesses: Candidates


class _Branch(NamedTuple):
    """Candidate `rank` of a cell, in a heap: the likeliest branch is the smallest."""

    cost: float  # negative probability of the node
    number: int
    rank: int
    cell: _Cell


class Spatial(Drafter):
    """The drafter of one image; the verifier is coupled noise, exact or with a tolerance.

    Raises:
        BadInput: `start` or `guide` needs draft weights or a draft model, and there are none.
    """

    def __init__(self, context: DecodeContext, options: SpatialOptions, verifier: Verifier) -> None:
        self.options, self.start = options, STARTS[options.start](context, verifier, options.candidates)
        self.memory, self.layers = Memory(context.target.codebook), self.start.layers
        self.ranked = options.candidates
        guide = GUIDES.get(options.guide)
        self.guide = None if guide is None else guide(context, self.memory, options.candidates)
        self.cost = None if self.guide is None else self.guide.cost
        self._started: dict[int, Candidates] = {}

    @classmethod
    def prepare(cls, drafters: Sequence[Self], states: Sequence[State]) -> None:
        """The runs of the guides, for all images with a guide of one kind together."""
        guided = [(one, one.guide, state) for one, state in zip(drafters, states, strict=True) if one.guide is not None]
        for kind in dict.fromkeys(type(guide) for _, guide, _ in guided):
            alike = [row for row in guided if type(row[1]) is kind]
            kind.join([guide for _, guide, _ in alike])
            for _, guide, state in alike:
                guide.begin(state)
            for number in range(max(drafter.options.runs for drafter, *_ in alike)):
                reading = [row for row in alike if number < row[0].options.runs]
                proposals = [drafter.propose(state) for drafter, _, state in reading]
                kind.run([guide for _, guide, _ in reading], [state for *_, state in reading], proposals)

    def propose(self, state: State) -> Proposal:
        """Main path and tree."""
        proposal, path = Proposal(), list[_Cell]()
        window = range(state.frontier, min(state.frontier + self.options.main, state.layout.cells))
        self._started = self.start.guesses(window, [cell for cell in window if cell not in self.memory])
        written, key, reached = list(state.tokens), Memory.key(state.tokens), 1.0
        for depth, cell in enumerate(window):
            guesses = self._find(cell, key)
            if guesses is None:
                token = written[state.layout.neighbour(cell)]
            else:
                path.append(_Cell(cell, depth - 1, key, reached, guesses))
                token = guesses.token(0)
                reached *= guesses.probability(0)
            proposal.add(cell, token, depth - 1)
            written.append(token)
            key = (token, *key[:-1])
        self._grow(proposal, path)
        proposal.placeholders = {node for node, cell in enumerate(proposal.cells) if cell not in self.memory}
        return proposal

    def _find(self, cell: int, key: Key) -> Candidates | None:
        """Guesses for a cell after these tokens: of the guide, of the memory, or those that new cells start from."""
        corrected = None if self.guide is None else self.guide.guesses.get((cell, key))
        return corrected or self.memory.find(cell, key) or self._started.get(cell)

    def _grow(self, proposal: Proposal, path: Sequence[_Cell]) -> None:
        """Add the tree: the likeliest candidates beside the main path and behind each other."""
        numbers, branches, beside = count(), list[_Branch](), iter(path)

        def branch(cell: _Cell, rank: int) -> None:
            if rank < cell.guesses.size:
                cost = -cell.reached * cell.guesses.probability(rank)
                heapq.heappush(branches, _Branch(cost, next(numbers), rank, cell))

        following = next(beside, None)
        while len(proposal) < self.options.budget:
            while following is not None and (not branches or following.reached >= -branches[0].cost):
                branch(following, 1)  # of the main path only where it may be the likeliest
                following = next(beside, None)
            if not branches or -branches[0].cost < self.options.price:
                break
            cost, _, rank, c = heapq.heappop(branches)
            token = c.guesses.token(rank)
            node = proposal.add(c.cell, token, c.parent)
            branch(c, rank + 1)
            key = (token, *c.key[:-1])
            if (guesses := self._find(c.cell + 1, key)) is not None:
                branch(_Cell(c.cell + 1, node, key, -cost, guesses), 0)

    def observe(self, step: Step) -> None:
        """Store the scores of cells that are open after the pass."""
        self.start.observe(step)
        before, proposal, readout = step.before, step.proposal, step.scores.readout
        first = before.frontier + len(step.written)
        if readout is not None and not proposal.final:  # final where the pass read tokens of an earlier run
            if self.guide is not None:
                self.guide.observe(step)
            read = places(before, proposal)
            if slots := [slot for slot, (cell, _) in enumerate(read) if first <= cell < before.layout.cells]:
                ranking = Ranking.of(*(best[slots] for best in readout.best))
                for index, slot in enumerate(slots):
                    self.memory.add(*read[slot], Entry(ranking, index, before.passes))
        self.memory.forget(first)


METHOD = Method(
    "spatial", "ours: refined window, memory of passes, tree at the front", SpatialOptions(), Spatial, rule="coupled",
    variants=("front=0", "budget=3", "budget=3:start=hawk", "budget=3:start=spatial-model", "slots=3",
              "budget=3:guide=sibling:runs=2", "budget=3:guide=trained:runs=2"),
)  # fmt: skip
