"""SJD, Speculative Jacobi Decoding (arXiv 2410.01699): samples of the last pass are drafts, its p their q.

    accept x_i if U < min(1, p^t(x_i) / p^{t-1}(x_i)); stop at the first refusal, which is sampled from the residual;
    every cell behind it: a fresh sample x_i ~ p^t_i

Of a cell only its q is stored: the draft is drawn when it is proposed. `SJD` is also the base of SCD and SJD-PAC, and
the drafter of GSD and CSD.

Several grids: the window may cross from one into the next. `start=above` draws cells in the first row of a grid from
the uniform distribution.

| variable | symbol in the paper |
|---|---|
| `p` | p_theta(. | x^{t-1}), of this pass |
| `q` | p of the pass before |
| `length` | L, slots of a pass: the pending token and L - 1 drafts |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Drafter, Verifier
from spatialspec.core.noise import Purpose, rows
from spatialspec.core.proposal import Proposal, unread
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.method import Method
from spatialspec.methods.options import LARGEST, Slotted


class WindowOptions(Slotted):
    """Length of the window, and the distribution of new cells."""

    follows = "length", 0
    length: int = Field(
        default=16, ge=2, le=LARGEST, description="slots of a pass L: the pending token and L - 1 drafts"
    )
    start: Literal["uniform", "above"] = Field(default="uniform", description="q of new cells")


class SJD(Drafter):
    """A window of drafts, each with the distribution it was drawn from.

    A new cell is drawn from the uniform distribution, or from that of the cell above.

    Attributes:
        q: ring buffer over the cells: q_i of an open cell, p_i of a committed one; behind it the uniform distribution.
        scored: cells before this one were in the last pass, or are committed; others are new.
        tokens: drafts of the first open cells that were made with the last pass; others are drawn from q.
    """

    drafts_first_cell = True

    def __init__(self, context: DecodeContext, options: WindowOptions, verifier: Verifier) -> None:
        self.layout, self.noise, self.verifier, self.options = context.layout, context.noise, verifier, options
        self.first_source = "other" if options.start == "uniform" else "neighbour"
        vocabulary, self.size = context.target.vocabulary, context.layout.widest + options.length
        self.q = torch.full((self.size + 1, vocabulary), 1.0 / vocabulary, device=context.noise.device)
        self.on_host = options.start == "uniform"  # whether drafts of new cells are drawn by the host
        self.scored = 0
        self.tokens: list[int] = []

    def window(self, state: State) -> tuple[range, Float[Tensor, "N V"], list[int], Int[Tensor, "D"] | None]:
        """Cells of the window, what their drafts are drawn from, and the drafts, as codes with those on the device."""
        cells = range(state.frontier, min(state.frontier + self.options.length - 1, self.layout.cells))
        q = self.q[[self._row(cell) for cell in cells]]
        known = len(self.tokens)
        end = max(known, self.scored - state.frontier) if self.on_host else len(cells)
        drawn = cells[known:end]
        codes = [*self.tokens, *unread(len(drawn)), *self._uniform(cells[end:], state)]
        return cells, q, codes, self.draw(q[known:end], drawn, state) if drawn else None

    def _row(self, cell: int) -> int:
        """Row of `q` for a cell: a new one has that of the nearest cell above that is not new, or the uniform one."""
        source: int | None = cell
        while source is not None and source >= self.scored:
            source = self.layout.above(source) if self.options.start == "above" else None
        return self.size if source is None else source % self.size

    def _uniform(self, cells: range, state: State) -> list[int]:
        """Uniform drafts, as `inverse_cdf` would draw them."""
        vocabulary = self.q.shape[1]
        u = self.noise.numbers(Purpose.DRAFT, state.passes, cells, [0] * len(cells))
        tokens: list[int] = np.minimum(u * vocabulary, vocabulary - 1).astype(np.int64).tolist()
        return tokens

    def draw(self, q: Float[Tensor, "N V"], cells: range, state: State) -> Int[Tensor, "N"]:
        """Drafts from q."""
        return self.verifier.draw(q, range(len(cells)), cells, state.passes)

    def propose(self, state: State) -> Proposal:
        """The window as a chain."""
        cells, q, codes, drafts = self.window(state)
        return Proposal.chain(cells.start, codes, q, drafts=drafts)

    def slots(self, step: Step) -> Sequence[int]:
        """Slots of a pass that score the cells from the frontier on."""
        return range(len(step.p))

    def observe(self, step: Step) -> None:
        """Store p of the cells that the pass scored."""
        slots, first = self.slots(step), step.before.frontier
        cells = range(first, min(first + len(slots), self.layout.cells))
        last = cells[-self.size :]  # a pass over tokens of an earlier run may score more cells than the ring has
        self.q[[cell % self.size for cell in last]] = rows(step.p, slots[len(cells) - len(last) : len(cells)])
        self.scored = cells.stop


METHOD = Method(
    "sjd", "samples of the last pass as drafts", WindowOptions(), SJD, rule="rejection",
    variants=("length=2:start=above", "slots=3"),
)  # fmt: skip
