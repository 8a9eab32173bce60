"""Jacobi decoding under coupled noise: no drafter network, no q, identical to plain AR for the same seed.

    z_i = argmax(log p_i + g_i) for every slot of the pass; z_i is committed while the drafts before it agree;
    after that x_i <- z_i

A new cell copies the token of the cell above, in row 0 that of the cell to its left. Plain Jacobi decoding is Song et
al., 2021; keyed noise makes it work for sampling.

Several grids: the first row of each copies from the left, and its first cell copies the last cell of the grid before.
"""

from __future__ import annotations

from pydantic import Field

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Drafter, Verifier
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.method import Method
from spatialspec.methods.options import LARGEST, Slotted, Tolerance


class JacobiOptions(Slotted, Tolerance):
    """Length of the window."""

    follows = "length", 0
    length: int = Field(
        default=32, ge=2, le=LARGEST, description="slots of a pass L: the pending token and L - 1 drafts"
    )


class Jacobi(Drafter):
    """Drafts the target's tokens of the last pass; cells that it did not score copy a neighbour."""

    def __init__(self, context: DecodeContext, options: JacobiOptions, verifier: Verifier) -> None:
        self.layout, self.length = context.layout, options.length
        self.tokens: list[int] = []

    def propose(self, state: State) -> Proposal:
        """The window as a chain."""
        written = [*state.tokens, *self.tokens]
        for cell in range(len(written), min(state.frontier + self.length - 1, self.layout.cells)):
            written.append(written[self.layout.neighbour(cell)])
        refined, self.tokens = len(self.tokens), written[state.frontier :]
        proposal = Proposal.chain(state.frontier, self.tokens)
        proposal.placeholders = set(range(refined, len(proposal)))
        return proposal

    def observe(self, step: Step) -> None:
        """Store the refined tokens of cells that were not committed."""
        refined = step.verdict.refined or ()
        self.tokens = list(refined[: self.layout.cells - step.before.frontier][len(step.written) :])


METHOD = Method(
    "jacobi", "the window's own tokens under coupled noise, no drafter", JacobiOptions(), Jacobi,
    rule="coupled", variants=("length=3", "slots=4"),
)  # fmt: skip
