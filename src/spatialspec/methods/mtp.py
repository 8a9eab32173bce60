"""1D-MTP, the baseline of SSD (arXiv 2606.20543): its horizontal predictors alone, block after block in raster order.

    q_k = softmax(Output(Norm(f_k([h_t; e_t])))),  k = 1 .. n,  n = min(k_h, cells left)

drafts cells t + 1 .. t + n, all from the newest written cell t; r rounds of correction, then a pass that commits the
block as it stands. A block runs on over the end of a row. Passes: 1 + (r + 1) ceil((cells - 1) / k_h).

| variable | symbol |
|---|---|
| `horizontal` | k_h |
| `rounds` | r |
| `recent` | h_t, e_t: the state that output cell t, and its token's embedding |
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
from spatialspec.methods.ssd import Block, Recent


@dataclass(frozen=True)
class MTPShape:
    """Size of a block and how it is corrected; `draft` and `q` as in SSD."""

    rounds: int = parameter(1, "correction passes per block, r", high=64)
    horizontal: int = parameter(5, "cells of a block, k_h", 1, 16)
    draft: str = parameter("sample", "how drafts are taken from q", choices=("sample", "argmax"))
    q: str = parameter("previous", "q of later rounds", choices=("previous", "draft"))


class MTP:
    """The drafter of one image."""

    Settings = MTPShape

    @classmethod
    def make(cls, setting: Setting, settings: MTPShape, verifier: Verifier) -> MTP:
        """The drafter of one image.

        Raises:
            BadInput: there are no draft weights, or they have too few predictors.
        """
        return cls(
            Recent.make(setting, settings.horizontal, 0, 1), Block(verifier, settings.draft, settings.q), settings
        )

    def __init__(self, recent: Recent, block: Block, shape: MTPShape) -> None:
        self.recent, self.block, self.shape = recent, block, shape

    def propose(self, state: State) -> Proposal:
        """The open block, for a round or for its commit; a new one is drafted first if there is none."""
        if not state.frontier:
            return Proposal()
        if not self.block.tokens:
            count = min(self.shape.horizontal, state.grid.cells - state.frontier)
            self.block.open(self.recent.right(count), self.shape.rounds, state)
        return self.block.proposal(state, len(self.block.tokens))

    def observe(
        self, state: State, proposal: Proposal, verdict: Verdict, p: Float[Tensor, "R V"], scores: Scores
    ) -> None:
        """Take over corrected tokens, or remember the state of the last one committed."""
        if not verdict.commits:
            self.block.correct(verdict, p)
            return
        self.recent.add(proposal, verdict, scores)
        self.block.drop(len(proposal), 0)
