"""A sibling as the drafter: a smaller model with the same image tokens guesses a window, which its own passes refine.

    x_i, i = f .. f+n-1    the window of the last pass; new cells copy a neighbour
    `runs` times:          q_i = draft model(. | x_<i);  r_i = q_i, or corrected as below;  x_i ~ r_i, noise of cell i
    proposal               the chain x, with r where rejection tests it

Speculative decoding with a small model (Leviathan et al., 2023), its chain drawn side by side by Jacobi iterations.

Correction: cell i was scored by the target's last pass, after other tokens; r_i is made of that and of what the change
of tokens changes (`draft_model.py`).

Exactness. The noise of a cell is the same in all runs and passes. q_i, q'_i and p'_i are functions of what is committed
and of tokens before cell i, and no decision about a cell before i has looked at the noise of cell i. So x_i is a sample
of r_i, independent of what decides r_i and the cells before it, as rejection asks; coupled noise takes any guess.

Passes and cache of the draft model: `draft_model.py`.

| variable | symbol |
|---|---|
| `length` | n + 1, as in `jacobi` |
| `self.last` | x', p' and q' |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from spatialspec.core.clock import DraftCost
from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Drafter, Verifier
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.draft_model import Follower, Group, corrected, weight
from spatialspec.methods.method import Method
from spatialspec.methods.options import LARGEST, Slotted, Tolerance


class SiblingOptions(Slotted, Tolerance):
    """Length of the window, and passes of the draft model."""

    follows = "length", 0
    length: int = Field(
        default=32, ge=2, le=LARGEST, description="slots of a pass L: the pending token and L - 1 drafts"
    )
    runs: int = Field(default=1, ge=1, le=LARGEST, description="passes of the draft model per pass of the target")


class _Last(NamedTuple):
    """The last pass of the target.

    Attributes:
        first: its first open cell.
        tokens: that it read from there on, x'.
        p: its distributions from there on.
        q: those of the draft model, of the last run before it.
    """

    first: int
    tokens: Sequence[int]
    p: Float[Tensor, "N V"]
    q: Float[Tensor, "n V"]

    def weights(self, tokens: Sequence[int], cells: range) -> list[float]:
        """w of cells behind these tokens, which begin at `first`."""
        same = [a == b for a, b in zip(self.tokens, tokens, strict=False)]
        weights = []
        for index in (cell - self.first for cell in cells):
            equal = next((n for n in range(index) if not same[index - 1 - n]), None)
            weights.append(0.0 if equal is None else weight(equal))
        return weights


class Sibling(Drafter):
    """The drafter of one image.

    Raises:
        BadInput: there is no draft model, or it draws other cells.
    """

    drafts_first_cell, first_source = True, "other"
    cost: DraftCost

    def __init__(self, context: DecodeContext, options: SiblingOptions, verifier: Verifier) -> None:
        self.follower, self.layout, self.options, self.verifier = Follower(context), context.layout, options, verifier
        self.cost = self.follower.cost
        self.tokens: list[int] = []  # x, from the first open cell on
        self.r = torch.empty(0)
        self.last: _Last | None = None

    @classmethod
    def prepare(cls, drafters: Sequence[Self], states: Sequence[State]) -> None:
        """The passes of the draft model, for all images together."""
        group = Group.of([drafter.follower for drafter in drafters])
        for drafter, state in zip(drafters, states, strict=True):
            drafter.follow(state)
        for number in range(max(drafter.options.runs for drafter in drafters)):
            for drafter, state in zip(drafters, states, strict=True):
                chain = Proposal.chain(state.frontier, drafter.tokens[:-1])
                drafter.follower.guesses = chain if number < drafter.options.runs else None
            group.run()
            for drafter in drafters:
                if drafter.follower.guesses is not None:
                    drafter.refine()

    def follow(self, state: State) -> None:
        """Move the window to the first open cell; new cells copy a neighbour."""
        layout, written = self.layout, [*state.tokens, *self.tokens]
        for cell in range(len(written), min(state.frontier + self.options.length - 1, layout.cells)):
            written.append(written[layout.neighbour(cell)] if cell else 0)
        self.follower.committed, self.tokens = state.tokens, written[state.frontier :]

    def refine(self) -> None:
        """Draw the window from the distributions of a run."""
        frontier = len(self.follower.committed)
        cells = range(frontier, frontier + len(self.tokens))
        self.r = self.corrected(cells)
        self.tokens = self.verifier.draw(self.r, range(len(cells)), cells, 0).tolist()  # 0: the same noise always

    def corrected(self, cells: range) -> Float[Tensor, "n V"]:
        """r of the window."""
        new = self.follower.q
        if self.last is None:
            return new
        first, _, p, before = self.last
        known = range(cells.start, min(cells.stop, first + len(before)))  # cells that p' and q' have
        rows, q = slice(known.start - first, known.stop - first), new[: len(known)]
        read = [*self.follower.committed[first:], *self.tokens]
        r = corrected(p[rows], q, before[rows], q.new_tensor(self.last.weights(read, known)))
        return torch.cat((r, new[len(known) :]))

    def propose(self, state: State) -> Proposal:
        """The window as a chain."""
        return Proposal.chain(state.frontier, self.tokens, self.r)

    def observe(self, step: Step) -> None:
        """Take over the target's tokens of open cells, where the rule computes them, and what it read and found."""
        first, proposal, left = step.before.frontier, step.proposal, self.layout.cells - step.before.frontier
        refined = proposal.tokens if step.verdict.refined is None else step.verdict.refined
        self.tokens = list(refined[:left][len(step.written) :])
        self.last = None if proposal.final else _Last(first, proposal.tokens, step.p[:left].clone(), self.follower.q)


METHOD = Method(
    "sibling", "a smaller model with the same image tokens, --draft-model, guesses a window that its passes refine",
    SiblingOptions(), Sibling, variants=("length=3:runs=2", "slots=4"),
)  # fmt: skip
