"""SJD, Speculative Jacobi Decoding (arXiv 2410.01699): samples of the last pass are drafts, its p their q.

    accept x_i if U < min(1, p^t(x_i) / p^{t-1}(x_i)); stop at the first refusal, which is sampled from the residual;
    every cell behind it: a fresh sample x_i ~ p^t_i

`Window` is what its descendants (SCD, SJD-PAC, GSD, CSD) share.

Several grids: the window may cross from one into the next. `start=above` draws cells in the first row of a grid from
the uniform distribution.

| variable | symbol in the paper |
|---|---|
| `p` | p_theta(. | x^{t-1}), of this pass |
| `q` | p of the pass before |
| `length` | L, slots of a pass: the pending token and L - 1 drafts |
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Drafter, Verifier
from spatialspec.core.proposal import Proposal
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


class Window(Drafter):
    """Base of drafters with a window of drafts, each with the distribution it was drawn from.

    A subclass implements `refresh`, which makes the next drafts. A new cell is drawn from the uniform distribution, or
    from that of the cell above.

    Attributes:
        tokens: x_i, drafts of the cells from the frontier on.
        q: ring buffer over the cells: q_i of an open cell, p_i of a committed one.
    """

    drafts_first_cell = True

    def __init__(self, context: DecodeContext, options: WindowOptions, verifier: Verifier) -> None:
        self.layout, self.noise, self.verifier, self.options = context.layout, context.noise, verifier, options
        self.first_source = "other" if options.start == "uniform" else "neighbour"
        vocabulary, size = context.target.vocabulary, context.layout.widest + options.length
        self.q = torch.full((size, vocabulary), 1.0 / vocabulary, device=context.noise.device)
        self.tokens: list[int] = []

    def indices(self, cells: Sequence[int]) -> Int[Tensor, "N"]:
        """Indices of cells in the ring buffer `q`."""
        return torch.from_numpy(np.array(cells, np.int64) % len(self.q)).to(self.q.device)

    def fill(self, state: State) -> range:
        """Draw drafts for the cells that enter the window; return all cells of the window."""
        window = range(state.frontier, min(state.frontier + self.options.length - 1, self.layout.cells))
        new = window[len(self.tokens) :]
        if new:
            q = self._first(new)
            self.q[self.indices(new)] = q
            self.tokens += self.verifier.draw(q, range(len(new)), new, state.passes)
        return window

    def _first(self, new: range) -> Float[Tensor, "N V"]:
        """The distributions that new cells are drawn from."""
        sources = [self._known(cell, new) for cell in new]
        uniform = torch.full((len(new), self.q.shape[1]), 1.0 / self.q.shape[1], device=self.q.device)
        if all(source is None for source in sources):
            return uniform
        q = self.q[self.indices([source or 0 for source in sources])]
        if None in sources:
            lacking = torch.tensor([source is None for source in sources], device=q.device)
            q = uniform.where(lacking[:, None], q)
        return q

    def _known(self, cell: int, new: range) -> int | None:
        """The nearest cell above that is not new, None where new cells begin with the uniform distribution."""
        above = self.layout.above(cell) if self.options.start == "above" else None
        return self._known(above, new) if above is not None and above in new else above

    def propose(self, state: State) -> Proposal:
        """The window as a chain."""
        window = self.fill(state)
        return Proposal.chain(state.frontier, self.tokens, self.q[self.indices(window)])

    def observe(self, step: Step) -> None:
        """Move the window behind the committed cells and refresh the remaining drafts."""
        state, p, proposal = step.before, step.p, step.proposal
        scored = range(state.frontier, min(state.frontier + len(p), self.layout.cells))
        last = scored[-len(self.q) :]  # a pass over tokens of an earlier run may score more cells than the ring has
        self.q[self.indices(last)] = p[len(scored) - len(last) : len(scored)]
        done = len(step.written)
        if left := scored[done:]:
            q = p[:0] if proposal.q is None else proposal.q[done:]
            self.tokens = self.refresh(self.tokens[done:], q, p[done : len(scored)], left, state)
        else:
            self.tokens = []

    @abstractmethod
    def refresh(
        self, tokens: list[int], q: Float[Tensor, "N V"], p: Float[Tensor, "M V"], cells: range, state: State
    ) -> list[int]:
        """Drafts for `cells`, with the distributions p.

        Args:
            tokens: the drafts of the first N cells in this pass.
            q: the distributions they were drawn from.
            p: the target's distributions in this pass; M = N, or N + 1 with the cell behind the last draft.
            cells: M open cells.
            state: before the pass.
        """


class SJD(Window):
    """The drafter; the verifier is rejection, or a relaxed form of it (GSD, CSD)."""

    def refresh(
        self, tokens: list[int], q: Float[Tensor, "N V"], p: Float[Tensor, "M V"], cells: range, state: State
    ) -> list[int]:
        """A fresh sample of every p."""
        return self.verifier.draw(p, range(len(cells)), cells, state.passes + 1)


METHOD = Method(
    "sjd", "samples of the last pass as drafts", WindowOptions(), SJD, rule="rejection",
    variants=("length=2:start=above", "slots=3"),
)  # fmt: skip
