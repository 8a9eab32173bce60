"""SSD's drafts for strict verification, the ablation "spec. decoding" of SSD (arXiv 2606.20543).

    row 0:       n = min(k_h, C - x) drafts, cell t + k from q_k = softmax(Output(Norm(f^h_k([h_t; e_t]))))
    rows below:  the rest of the row, each cell from f^v_1 at the cell above it

Tested as in ordinary speculative sampling: keep x with probability min(1, p/q), at the first rejection sample
normalise(max(p - q, 0)). A draft of a lower row depends on the row above alone, so the drafts behind a rejection keep
their q and wait for the next pass; those of row 0 are made afresh. Exact, with the rule that is asked for.
Passes: 1 + ceil((C - 1) / (k_h + 1)) + R - 1 at best (C > 1), R C at worst.

| variable | symbol |
|---|---|
| `horizontal` | k_h |
| `column`, `columns` | x, C |
| `recent` | h, e: states that output the last written cells, and their tokens' embeddings |
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from spatialspec.core.interfaces import Verifier
from spatialspec.core.proposal import Proposal, Scores, Verdict
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.methods.options import parameter
from spatialspec.methods.ssd import Recent


@dataclass(frozen=True)
class StrictShape:
    """What to draft in row 0."""

    horizontal: int = parameter(5, "cells drafted at once in row 0, k_h", 1, 16)


class SSDStrict:
    """The drafter of one image."""

    Settings = StrictShape

    @classmethod
    def make(cls, setting: Setting, settings: StrictShape, verifier: Verifier) -> SSDStrict:
        """The drafter of one image.

        Raises:
            BadInput: there are no draft weights, or they have too few predictors.
        """
        return cls(Recent.make(setting, settings.horizontal, 1, setting.grid.columns), verifier, settings)

    def __init__(self, recent: Recent, verifier: Verifier, shape: StrictShape) -> None:
        self.recent, self.verifier, self.shape = recent, verifier, shape
        self.tokens: list[int] = []  # drafts of the cells behind the frontier, not tested yet
        self.q: Float[Tensor, "N V"] | None = None  # what they were drawn from

    def propose(self, state: State) -> Proposal:
        """The drafts that wait, or new ones."""
        if not state.frontier:
            return Proposal()
        if not self.tokens:
            columns = state.grid.columns
            row, column = divmod(state.frontier, columns)
            left = columns - column
            q = self.recent.below(1)[:left] if row else self.recent.right(min(self.shape.horizontal, left))
            cells = range(state.frontier, state.frontier + len(q))
            self.tokens, self.q = self.verifier.draw(q, range(len(q)), cells, state.passes), q
        return Proposal.chain(state.frontier, self.tokens, self.q)

    def observe(
        self, state: State, proposal: Proposal, verdict: Verdict, p: Float[Tensor, "R V"], scores: Scores
    ) -> None:
        """Remember the states of what was written; below row 0, keep the drafts behind it."""
        self.recent.add(proposal, verdict, scores)
        lower = state.frontier >= state.grid.columns
        written = len(verdict.tokens(proposal)) if lower else len(self.tokens)
        self.tokens = self.tokens[written:]
        if self.q is not None:
            self.q = self.q[written:]
