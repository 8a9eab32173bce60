"""A window of drafts behind the frontier, each with the law it was drawn from: what SJD and its descendants share.

| variable | symbol |
|---|---|
| `length` | L, rows of a pass: the pending token and L - 1 drafts |
| `tokens` | x_i, drafts of the cells from the frontier on |
| `law` | q_i where cell i is open, the p_i that it was written under where it is not; a ring over the cells |

A new cell is drawn from the uniform law, or from the law of the cell above.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.interfaces import Verifier
from spatialspec.core.proposal import Proposal, Scores, Verdict
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.methods.options import parameter


@dataclass(frozen=True)
class WindowSettings:
    """How far the window reaches and how it is filled."""

    length: int = parameter(16, "rows of a pass L: the pending token and L - 1 drafts", 2, 128)
    start: str = parameter("uniform", "law of new cells", choices=("uniform", "above"))


class Window:
    """Base of drafters that keep a window; a subclass says how `refresh` makes the next drafts."""

    def __init__(self, setting: Setting, settings: WindowSettings, verifier: Verifier) -> None:
        self.grid, self.noise, self.verifier, self.settings = setting.grid, setting.noise, verifier, settings
        vocabulary, size = setting.target.vocabulary, setting.grid.columns + settings.length
        self.law = torch.full((size, vocabulary), 1.0 / vocabulary, device=setting.noise.device)
        self.tokens: list[int] = []

    def places(self, cells: range) -> list[int]:
        """Rows of `law` that hold these cells."""
        return [cell % len(self.law) for cell in cells]

    def fill(self, state: State) -> range:
        """Draw drafts for the cells that enter the window; return all cells of the window."""
        window = range(state.frontier, min(state.frontier + self.settings.length - 1, self.grid.cells))
        new = window[len(self.tokens) :]
        if new:
            for cell, place in zip(new, self.places(new), strict=True):
                above = cell - self.grid.columns
                if self.settings.start == "above" and above >= 0:
                    self.law[place] = self.law[above % len(self.law)]
                else:
                    self.law[place] = 1.0 / self.law.shape[1]
            self.tokens += self.verifier.draw(self.law[self.places(new)], range(len(new)), new, state.passes)
        return window

    def propose(self, state: State) -> Proposal:
        """The window as a chain."""
        window = self.fill(state)
        return Proposal.chain(state.frontier, self.tokens, self.law[self.places(window)])

    def observe(
        self, state: State, proposal: Proposal, verdict: Verdict, p: Float[Tensor, "R V"], scores: Scores
    ) -> None:
        """Move behind what was committed and make new drafts of what is left."""
        scored = range(state.frontier, min(state.frontier + len(p), self.grid.cells))
        kept = scored[-len(self.law) :]  # a pass over an earlier run's tokens may score more cells than there are rows
        self.law[self.places(kept)] = p[len(scored) - len(kept) : len(scored)]
        done = len(verdict.tokens(proposal))
        if left := scored[done:]:
            q = p[:0] if proposal.q is None else proposal.q[done:]
            self.tokens = self.refresh(self.tokens[done:], q, p[done : len(scored)], left, state)
        else:
            self.tokens = []

    def refresh(
        self, tokens: list[int], q: Float[Tensor, "N V"], p: Float[Tensor, "M V"], cells: range, state: State
    ) -> list[int]:
        """Drafts for `cells`, with the laws p.

        Args:
            tokens: the drafts that were read, of the first N cells.
            q: the laws that they were drawn from.
            p: the target's laws after this pass; M = N, or N + 1 with the cell behind the last draft.
            cells: M open cells.
            state: before the pass.
        """
        raise NotImplementedError
