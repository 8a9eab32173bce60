"""SSD (arXiv 2606.20543): predictors of future hidden states draft whole rows; rounds of correction; a commit pass.

| variable | symbol in the paper |
|---|---|
| `horizontal`, `rows` | k_h, k_v |
| `rounds` | r; with k_v >= 2, b rounds on all rows together |
| `inner` | i rounds on each further row after the row above it is committed; 0 is the joint schedule |
| `hidden`, `embedding` | h_{y,x}, e_{y,x}: the state that outputs the token at (y, x), and that token's embedding |

Row 0: one pass of the target for its first cell, then blocks of k_h cells, one round and a commit each. Then k_v rows
at a time. On n columns and rows, k_v = 1: 1 + 2 ceil((n - 1) / k_h) + (n - 1) (r + 1) passes.
Several grids: one after the other. Row 0 of a later one needs no pass for its first cell: its first block is drafted
from the last cell of the grid before.

Verification is auto-correction (section 1.5 of docs/papers/ssd.md). In a round every drafted cell is judged on its own,
given the drafts to its left: under rejection it is accepted with probability min(1, p/q), else replaced by a sample of
normalise(max(p - q, 0)); under coupled noise it becomes argmax(log p + g). Drafts behind a replacement are not dropped.
After a fixed number of rounds a pass commits the block unchanged. Not exact: p is conditioned on drafts that may change
in the same round, and this is not checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Drafter, Head, Verifier
from spatialspec.core.proposal import Proposal, unread
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.method import Method
from spatialspec.methods.options import Options
from spatialspec.methods.predictors import SSDPredictors
from spatialspec.methods.rejection import Rejection


class SSDOptions(Options):
    """Schedule of drafting and correcting.

    `inner` is i, the rounds of every row of a block after its first. `draft`: the text of equation 2 takes the argmax,
    which is biased under rejection. `q`: the distribution that a token is tested with in later rounds, p of the
    previous round or the predictor's q.
    """

    fixed = "passes are as wide as whole rows of the image: set rows"
    rounds: int = Field(default=2, ge=0, le=64, description="correction passes per block of rows, r")
    rows: int = Field(default=1, ge=1, le=16, description="rows drafted at once, k_v")
    inner: Literal["staged"] | Annotated[int, Field(ge=0, le=16)] = Field(
        default="staged", description="rounds of each further row of a block; staged: rounds - 1"
    )
    horizontal: int = Field(default=5, ge=1, le=16, description="cells of a block of row 0, k_h")
    draft: Literal["sample", "argmax"] = Field(default="sample", description="how drafts are taken from q")
    q: Literal["previous", "draft"] = Field(default="previous", description="q of later rounds")

    @property
    def later_rounds(self) -> int:
        """Rounds of every row of a block but the first."""
        return max(self.rounds - 1, 0) if self.inner == "staged" else self.inner


class Recent:
    """States and tokens of the last written cells, at most `length`, and the predictors' distributions from them.

    Args:
        predictors: frozen draft weights.
        target: frozen parts of the target.
        sampling: how distributions are made from logits.
        length: cells to remember.
    """

    @classmethod
    def make(cls, context: DecodeContext, horizontal: int, vertical: int, length: int) -> Recent:
        """Start the memory of one image.

        Raises:
            BadInput: there are no draft weights, or they have fewer predictors than asked for.
        """
        predictors = context.find(SSDPredictors, "ssd")
        sizes = predictors.config
        if horizontal > sizes.horizontal or vertical > sizes.vertical:
            raise BadInput(
                f"horizontal={horizontal}, rows={vertical}",
                f"at most the {sizes.horizontal} and {sizes.vertical} predictors of the draft weights",
            )
        return cls(predictors, context.target, context.sampling, length)

    def __init__(self, predictors: SSDPredictors, target: Head, sampling: Sampling, length: int) -> None:
        self.predictors, self.target, self.sampling, self.length = predictors, target, sampling, length
        self.hidden: Float[Tensor, "G N d"] | None = None
        self.tokens: list[int] = []

    def add(self, step: Step) -> None:
        """Store the states and tokens that a pass committed."""
        slots, tokens = step.verdict.slots(), step.written
        fresh = step.scores.hidden[:, slots]
        if self.hidden is not None and len(slots) < self.length:
            fresh = torch.cat((self.hidden, fresh), dim=1)
            tokens = [*self.tokens, *tokens]
        self.hidden, self.tokens = fresh[:, -self.length :], tokens[-self.length :]

    def right(self, count: int) -> Float[Tensor, "count V"]:
        """q of the next cells in raster order, predicted from the last written cell."""
        hidden, embedding = self._read()
        h, e = hidden[:, -1], embedding[-1]
        return self._distribution(torch.stack([f(h, e) for f in self.predictors.horizontal[:count]], dim=1))

    def below(self, rows: int, columns: int) -> Float[Tensor, "guesses V"]:
        """q of the cells under the last `columns` ones, row after row."""
        hidden, embedding = self._read()
        h, e = hidden[:, -columns:], embedding[-columns:]
        return self._distribution(torch.cat([f(h, e) for f in self.predictors.vertical[:rows]], dim=1))

    def _read(self) -> tuple[Float[Tensor, "G N d"], Float[Tensor, "N d"]]:
        assert self.hidden is not None
        embedding = self.target.embed(torch.tensor(self.tokens, device=self.hidden.device))
        return self.predictors.to_space(self.target, self.hidden, embedding), embedding

    def _distribution(self, predicted: Float[Tensor, "G N d"]) -> Float[Tensor, "N V"]:
        return self.sampling.distribution(self.predictors.logits(self.target, predicted))


class Block:
    """Drafted tokens of the cells behind the frontier, refined in rounds.

    Args:
        verifier: of the image.
        draft: "sample" or "argmax".
        q: "previous" or "draft".
    """

    def __init__(self, verifier: Verifier, draft: str, q: str) -> None:
        self.verifier, self.argmax, self.previous = verifier, draft == "argmax", q == "previous"
        self.tokens: list[int] = []  # as codes of `drafts`, until a round replaces them
        self.drafts: Int[Tensor, "N"] | None = None
        self.q: Float[Tensor, "N V"] | None = None
        self.rounds = 0

    def open(self, q: Float[Tensor, "N V"], rounds: int, state: State) -> None:
        """Draft one token from each distribution of q, to be corrected in `rounds` passes."""
        n = len(q)
        cells = range(state.frontier, state.frontier + n)
        self.drafts = q.argmax(-1) if self.argmax else self.verifier.draw(q, range(n), cells, state.passes)
        self.tokens, self.q, self.rounds = unread(n), q, rounds

    def proposal(self, state: State, leading: int) -> Proposal:
        """The whole block while rounds are left, then its first `leading` tokens, to be committed."""
        if self.rounds:
            return Proposal.chain(state.frontier, self.tokens, self.q, drafts=self.drafts)
        return Proposal.chain(state.frontier, self.tokens[:leading], final=True, drafts=self.drafts)

    def correct(self, step: Step) -> None:
        """Replace the drafts by the refined tokens of a round."""
        assert step.verdict.refined is not None
        self.tokens, self.drafts = list(step.verdict.refined[: len(self.tokens)]), None
        self.rounds -= 1
        if self.previous:
            self.q = step.p[:-1]

    def drop(self, count: int, rounds: int) -> None:
        """Drop the first `count` tokens, which were committed; the others get `rounds` further rounds."""
        self.tokens, self.rounds = self.tokens[count:], rounds
        if self.q is not None:
            self.q = self.q[count:]


class SSD(Drafter):
    """Blocks of row 0, then whole rows, for one image."""

    def __init__(self, context: DecodeContext, options: SSDOptions, verifier: Verifier) -> None:
        self.recent = Recent.make(context, options.horizontal, options.rows, context.layout.widest)
        self.block, self.options = Block(verifier, options.draft, options.q), options

    def propose(self, state: State) -> Proposal:
        """The current block, for a round or for its commit; drafts one if there is none."""
        block, (grid, index) = self.block, state.layout.locate(state.frontier)
        row, column = divmod(index, grid.columns)
        if not block.tokens and not row:
            block.open(self.recent.right(min(self.options.horizontal, grid.columns - column)), 1, state)
        elif not block.tokens:
            rows = min(self.options.rows, grid.rows - row)
            q = self.recent.below(rows, grid.columns)[: rows * grid.columns - column]
            block.open(q, self.options.rounds, state)
        return block.proposal(state, grid.columns - column)

    def observe(self, step: Step) -> None:
        """Update the block after a round; after a commit store the states of the committed cells."""
        if not step.verdict.commits:
            self.block.correct(step)
            return
        self.recent.add(step)
        self.block.drop(len(step.proposal), self.options.later_rounds)


class AutoCorrect(Verifier):
    """Verifier that corrects a chain in rounds; the exact rule draws the drafts.

    Args:
        context: of the image.
        options: of the method.
        rule: coupled noise or rejection.
    """

    def __init__(self, context: DecodeContext, options: Options, rule: Coupled | Rejection) -> None:
        self.rule, self.ranks = rule, rule.ranks

    def draw(
        self, q: Float[Tensor, "Q V"], indices: Sequence[int], cells: Sequence[int], pass_index: int
    ) -> Int[Tensor, "N"]:
        """As the rule draws them."""
        return self.rule.draw(q, indices, cells, pass_index)

    def verify(self, proposal: Proposal, scores: Scores, state: State) -> Verdict:
        """Correct a block; without drafts, commit one token as in AR."""
        verdict = self.rule.verify(proposal, scores, state)
        return Verdict(refined=verdict.refined) if len(proposal) else verdict


METHOD = Method(
    "ssd", "whole rows from predictors, fixed rounds of correction", SSDOptions(), SSD,
    verifier=AutoCorrect, lossless=False, drafts="ssd",
)  # fmt: skip
