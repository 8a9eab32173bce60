"""SSD (arXiv 2606.20543): predictors of future hidden states draft whole rows; rounds of correction; a commit pass.

| variable | symbol in the paper |
|---|---|
| `horizontal`, `rows` | k_h, k_v |
| `rounds` | r; with k_v >= 2, b rounds on all rows together |
| `inner` | i rounds on each further row after the row above it is committed; 0 is the joint schedule |
| `hidden`, `embedding` | h_{y,x}, e_{y,x}: the state that outputs the token at (y, x), and that token's embedding |

Row 0: one pass of the target for its first cell, then blocks of k_h cells, one round and a commit each. Then k_v rows
at a time. On n columns and rows, k_v = 1: 1 + 2 ceil((n - 1) / k_h) + (n - 1) (r + 1) passes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Head, Verifier
from spatialspec.core.proposal import Proposal, Scores, Verdict
from spatialspec.core.sampling import Sampling
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.methods.options import parameter
from spatialspec.methods.predictors import SSDConfig, SSDPredictors

__all__ = ["SSD", "Block", "Recent", "SSDConfig", "SSDPredictors", "SSDShape"]


@dataclass(frozen=True)
class SSDShape:
    """Schedule of drafting and correcting.

    `inner` is i, further rounds of every row of a block after its first. `draft`: the argmax is what the text of
    equation 2 says, and biased under rejection. `q`: what a replaced or kept token counts as drawn from in later
    rounds, p of the previous round, or always the predictor's own q.
    """

    rounds: int = parameter(2, "correction passes per block of rows, r", high=64)
    rows: int = parameter(1, "rows drafted at once, k_v", 1, 16)
    inner: str = parameter(
        "staged",
        "rounds of each further row of a block: rounds - 1, or a number",
        choices=("staged", *map(str, range(17))),
    )
    horizontal: int = parameter(5, "cells of a block of row 0, k_h", 1, 16)
    draft: str = parameter("sample", "how drafts are taken from q", choices=("sample", "argmax"))
    q: str = parameter("previous", "q of later rounds", choices=("previous", "draft"))

    @property
    def later_rounds(self) -> int:
        """Rounds of every row of a block but the first."""
        return max(self.rounds - 1, 0) if self.inner == "staged" else int(self.inner)


class Recent:
    """States and tokens of the last written cells, at most `length` of them, and what the predictors say from there.

    Args:
        predictors: frozen draft weights.
        target: frozen parts of the target.
        sampling: how distributions are made from logits.
        length: cells to remember.
    """

    @classmethod
    def make(cls, setting: Setting, horizontal: int, vertical: int, length: int) -> Recent:
        """The memory of one image.

        Raises:
            BadInput: there are no draft weights, or they have fewer predictors than asked for.
        """
        predictors = setting.find(SSDPredictors, "ssd")
        there = predictors.config
        if horizontal > there.horizontal or vertical > there.vertical:
            raise BadInput(
                f"horizontal={horizontal}, rows={vertical}",
                f"at most the {there.horizontal} and {there.vertical} predictors of the draft weights",
            )
        return cls(predictors, setting.target, setting.sampling, length)

    def __init__(self, predictors: SSDPredictors, target: Head, sampling: Sampling, length: int) -> None:
        self.predictors, self.target, self.sampling, self.length = predictors, target, sampling, length
        self.hidden: Float[Tensor, "G N d"] | None = None
        self.tokens: list[int] = []

    def add(self, proposal: Proposal, verdict: Verdict, scores: Scores) -> None:
        """Remember what a pass wrote."""
        rows = verdict.rows()
        fresh, tokens = scores.hidden[:, rows], verdict.tokens(proposal)
        if self.hidden is not None and len(rows) < self.length:
            fresh = torch.cat((self.hidden, fresh), dim=1)
            tokens = [*self.tokens, *tokens]
        self.hidden, self.tokens = fresh[:, -self.length :], tokens[-self.length :]

    def right(self, count: int) -> Float[Tensor, "count V"]:
        """q of the next cells in raster order, all from the newest cell."""
        hidden, embedding = self._read()
        h, e = hidden[:, -1], embedding[-1]
        return self._distribution(torch.stack([f(h, e) for f in self.predictors.horizontal[:count]], dim=1))

    def below(self, rows: int) -> Float[Tensor, "rows*N V"]:
        """q of the cells under every remembered one, row after row."""
        hidden, embedding = self._read()
        return self._distribution(torch.cat([f(hidden, embedding) for f in self.predictors.vertical[:rows]], dim=1))

    def _read(self) -> tuple[Float[Tensor, "G N d"], Float[Tensor, "N d"]]:
        assert self.hidden is not None
        embedding = self.target.embed(torch.tensor(self.tokens, device=self.hidden.device))
        return self.predictors.place(self.target, self.hidden, embedding), embedding

    def _distribution(self, predicted: Float[Tensor, "G N d"]) -> Float[Tensor, "N V"]:
        return self.sampling.distribution(self.predictors.logits(self.target, predicted))


class Block:
    """Drafted tokens of the cells behind the frontier, under correction.

    Args:
        verifier: of the image.
        draft: "sample" or "argmax".
        q: "previous" or "draft".
    """

    def __init__(self, verifier: Verifier, draft: str, q: str) -> None:
        self.verifier, self.argmax, self.previous = verifier, draft == "argmax", q == "previous"
        self.tokens: list[int] = []
        self.q: Float[Tensor, "N V"] | None = None
        self.rounds = 0

    def open(self, q: Float[Tensor, "N V"], rounds: int, state: State) -> None:
        """Draft one token from each row of q, to be corrected in some rounds."""
        n = len(q)
        cells = range(state.frontier, state.frontier + n)
        self.tokens = q.argmax(-1).tolist() if self.argmax else self.verifier.draw(q, range(n), cells, state.passes)
        self.q, self.rounds = q, rounds

    def proposal(self, state: State, leading: int) -> Proposal:
        """The whole block while rounds are left, then the `leading` tokens as they stand."""
        if self.rounds:
            return Proposal.chain(state.frontier, self.tokens, self.q)
        return Proposal.chain(state.frontier, self.tokens[:leading], final=True)

    def correct(self, verdict: Verdict, p: Float[Tensor, "R V"]) -> None:
        """Take over a round's tokens."""
        assert verdict.refined is not None
        self.tokens = list(verdict.refined[: len(self.tokens)])
        self.rounds -= 1
        if self.previous:
            self.q = p[:-1]

    def drop(self, count: int, rounds: int) -> None:
        """Forget tokens that were written; the others have some rounds to go."""
        self.tokens, self.rounds = self.tokens[count:], rounds
        if self.q is not None:
            self.q = self.q[count:]


class SSD:
    """The drafter: blocks of row 0, then whole rows, for one image."""

    Settings = SSDShape

    @classmethod
    def make(cls, setting: Setting, settings: SSDShape, verifier: Verifier) -> SSD:
        """The drafter of one image.

        Raises:
            BadInput: there are no draft weights, or they have too few predictors.
        """
        recent = Recent.make(setting, settings.horizontal, settings.rows, setting.grid.columns)
        return cls(recent, Block(verifier, settings.draft, settings.q), settings)

    def __init__(self, recent: Recent, block: Block, shape: SSDShape) -> None:
        self.recent, self.block, self.shape = recent, block, shape

    def propose(self, state: State) -> Proposal:
        """The open block, for a round or for its commit; a new one is drafted first if there is none."""
        if not state.frontier:
            return Proposal()
        columns, block = state.grid.columns, self.block
        row, column = divmod(state.frontier, columns)
        if not block.tokens and not row:
            block.open(self.recent.right(min(self.shape.horizontal, columns - column)), 1, state)
        elif not block.tokens:
            rows = min(self.shape.rows, state.grid.rows - row)
            block.open(self.recent.below(rows)[: rows * columns - column], self.shape.rounds, state)
        return block.proposal(state, columns - column)

    def observe(
        self, state: State, proposal: Proposal, verdict: Verdict, p: Float[Tensor, "R V"], scores: Scores
    ) -> None:
        """Take over corrected tokens, or remember the states of what was committed."""
        if not verdict.commits:
            self.block.correct(verdict, p)
            return
        self.recent.add(proposal, verdict, scores)
        self.block.drop(len(proposal), self.shape.later_rounds)
