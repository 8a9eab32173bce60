"""Two baselines of SSD (arXiv 2606.20543) on its own predictors: 1D-MTP, and SSD's drafts under strict verification.

1D-MTP: the horizontal predictors alone, block after block in raster order.

    q_k = softmax(Output(Norm(f_k([h_t; e_t])))),  k = 1 .. n,  n = min(k_h, cells left)

drafts cells t + 1 .. t + n, all from the last written cell t; r rounds of correction, then a pass that commits the
block unchanged. A block may cross the end of a row or a grid. Passes: 1 + (r + 1) ceil((cells - 1) / k_h).

Strict ("spec. decoding" in the ablation):

    row 0:       n = min(k_h, C - x) drafts, cell t + k from q_k = softmax(Output(Norm(f^h_k([h_t; e_t]))))
    rows below:  the rest of the row, each cell from f^v_1 at the cell above it

Tested as in ordinary speculative sampling: accept x with probability min(1, p/q), at the first rejection sample
normalise(max(p - q, 0)). A draft of a lower row depends on the row above alone. So drafts behind a rejection are
tested again in the next pass, with the same q; in row 0 they are drawn anew. Exact under either rule.
Passes: 1 + ceil((C - 1) / (k_h + 1)) + R - 1 at best (C > 1), R C at worst.
Several grids: the first row of each is a row 0, whose first drafts come from the last cell of the grid before.

| variable | symbol |
|---|---|
| `horizontal` | k_h |
| `rounds` | r |
| `column`, `columns` | x, C |
| `recent` | h, e: states that output the last written cells, and their tokens' embeddings |
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Drafter, Verifier
from spatialspec.core.proposal import Proposal, unread
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.method import Method
from spatialspec.methods.options import Slotted, Tolerance
from spatialspec.methods.ssd import AutoCorrect, Block, Recent


class MTPOptions(Slotted):
    """Size of a block, which slots may cut, and how it is corrected; `draft` and `q` as in SSD."""

    rounds: int = Field(default=1, ge=0, le=64, description="correction passes per block, r")
    horizontal: int = Field(default=5, ge=1, le=16, description="cells of a block, k_h")
    draft: Literal["sample", "argmax"] = Field(default="sample", description="how drafts are taken from q")
    q: Literal["previous", "draft"] = Field(default="previous", description="q of later rounds")


class MTP(Drafter):
    """The drafter of 1D-MTP for one image.

    Raises:
        BadInput: there are no draft weights, or they have too few predictors.
    """

    first_source = "horizontal"

    def __init__(self, context: DecodeContext, options: MTPOptions, verifier: Verifier) -> None:
        self.recent = Recent.make(context, options.horizontal, 0, 1)
        self.block, self.options = Block(verifier, options.draft, options.q), options

    def propose(self, state: State) -> Proposal:
        """The current block, for a round or for its commit; drafts one if there is none."""
        if not self.block.tokens:
            count = min(self.options.horizontal, self.options.nodes, state.layout.cells - state.frontier)
            self.block.open(self.recent.right(count), self.options.rounds, state)
        return self.block.proposal(state, len(self.block.tokens))

    def observe(self, step: Step) -> None:
        """Update the block after a round; after a commit store the state of its last cell."""
        if not step.verdict.commits:
            self.block.correct(step)
            return
        self.recent.add(step)
        self.block.drop(len(step.proposal), 0)


class StrictOptions(Slotted, Tolerance):
    """What to draft in row 0. Slots cut the chain of a pass; drafts of a lower row behind the cut wait."""

    horizontal: int = Field(default=5, ge=1, le=16, description="cells drafted at once in row 0, k_h")


class SSDStrict(Drafter):
    """The drafter of strict SSD for one image.

    Raises:
        BadInput: there are no draft weights, or they have too few predictors.
    """

    def __init__(self, context: DecodeContext, options: StrictOptions, verifier: Verifier) -> None:
        self.recent = Recent.make(context, options.horizontal, 1, context.layout.widest)
        self.verifier, self.options = verifier, options
        self.tokens: list[int] = []  # drafts of the cells behind the frontier, not tested yet, as codes of `drafts`
        self.drafts: Int[Tensor, "N"] | None = None
        self.q: Float[Tensor, "N V"] | None = None  # the distributions they were drawn from

    def propose(self, state: State) -> Proposal:
        """The untested drafts, or new ones."""
        if not self.tokens:
            grid, index = state.layout.locate(state.frontier)
            row, column = divmod(index, grid.columns)
            left, horizontal = grid.columns - column, self.options.horizontal
            q = self.recent.below(1, grid.columns)[:left] if row else self.recent.right(min(horizontal, left))
            cells = range(state.frontier, state.frontier + len(q))
            self.drafts = self.verifier.draw(q, range(len(q)), cells, state.passes)
            self.tokens, self.q = unread(len(q)), q
        tested = slice(self.options.nodes)
        q_tested = None if self.q is None else self.q[tested]
        return Proposal.chain(state.frontier, self.tokens[tested], q_tested, drafts=self.drafts)

    def observe(self, step: Step) -> None:
        """Store the states of committed cells; drop drafts that were tested, in row 0 all."""
        self.recent.add(step)
        lower = step.before.layout.above(step.before.frontier) is not None
        written = len(step.written) if lower else len(self.tokens)
        self.tokens = self.tokens[written:]
        if self.q is not None:
            self.q = self.q[written:]


MTP_METHOD = Method(
    "mtp", "SSD's horizontal predictors alone, block after block", MTPOptions(), MTP,
    verifier=AutoCorrect, lossless=False, drafts="ssd",
)  # fmt: skip
STRICT_METHOD = Method(
    "ssd-strict", "SSD's drafts, back to the first mismatch", StrictOptions(), SSDStrict, drafts="ssd",
    variants=("slots=2",),
)  # fmt: skip
