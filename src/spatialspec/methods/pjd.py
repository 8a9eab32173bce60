"""PJD, Parallel Jacobi Decoding (arXiv 2606.05703): speculative Jacobi decoding in several rows of the picture at once.

    O_k = {i + 1 : c_i >= c, row i + 1 not opened before}     rows opened in pass k; c_i is the written cells of row i
    L_i = min(W, c_{i-1} - c_i)                               drafts of a lower row: it never passes the row above
    L_i = min(W, C - c_i - 1)                                 drafts of the top row

A row's drafts are what its slots of the last pass named (`refined`, with q = p there), cut to L_i and filled up with
tokens drawn uniformly, whose q is all mass on the token. A row without a cell starts behind a stand-in, as in ZipAR.

| variable | symbol |
|---|---|
| `context` | T_ctx, c |
| `width` | W |
| `written`, `above` | c_i, c_{i-1} |
| `_p`, `_named` | p^(k-1) of every slot; the draft that a slot named for a cell, and the slot |
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.interfaces import Verifier
from spatialspec.core.noise import Noise, Purpose
from spatialspec.core.proposal import ROOT, Proposal, Scores, Verdict
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.methods.options import parameter
from spatialspec.methods.zipar import StandIns

FILL = 1  # candidate number of a uniform fill; candidate 0 of the same cell and pass is the verifier's fresh sample


@dataclass(frozen=True)
class PJDShape:
    """When a row opens, and how far it is drafted."""

    context: int = parameter(4, "cells of a row after which the next opens, c", 1)
    width: int = parameter(7, "longest draft of a row, W", 1, 64)


class PJD:
    """The drafter of one image."""

    Settings = PJDShape

    @classmethod
    def make(cls, setting: Setting, settings: PJDShape, verifier: Verifier) -> PJD:
        """The drafter of one image."""
        return cls(settings, setting.noise)

    def __init__(self, shape: PJDShape, noise: Noise) -> None:
        self.shape, self.noise = shape, noise
        self.stand_ins = StandIns()
        self._p: Float[Tensor, "R V"] | None = None
        self._named: dict[int, tuple[int, int]] = {}

    def propose(self, state: State) -> Proposal:
        """A chain for every active row; row of q = node, a stand-in has no test."""
        if self._p is None:
            return Proposal()
        columns, width = state.grid.columns, self.shape.width
        proposal = Proposal()
        row, written = divmod(state.frontier, columns)
        self._extend(proposal, state, state.frontier, min(width, columns - written - 1))
        above = written
        while above >= self.shape.context and (row := row + 1) < state.grid.rows:
            first = row * columns
            written = next(j for j in range(columns) if first + j not in state.ahead)
            self._extend(proposal, state, first + written, min(width, above - written))
            above = written
        proposal.q = self._laws(proposal, self._p)
        return proposal

    def _extend(self, proposal: Proposal, state: State, first: int, length: int) -> None:
        """Add the chain of one row, behind a stand-in where the cell before it is open."""
        parent = ROOT
        if state.token(first - 1) is None:
            parent = len(proposal)
            _append(proposal, first - 1, self.stand_ins.at(first - 1, state), ROOT)
        cells = range(first, first + length)
        new = [cell for cell in cells if cell not in self._named]
        fills = dict(zip(new, self._uniform(new, state.passes), strict=True))
        for cell in cells:
            node = len(proposal)
            _append(proposal, cell, fills[cell] if cell in fills else self._named[cell][0], parent)
            proposal.tests.setdefault(parent + 1, []).append((node, node))
            parent = node

    def _uniform(self, cells: list[int], turn: int) -> list[int]:
        if not cells:
            return []
        u = self.noise.uniform(Purpose.DRAFT, turn, cells, [FILL] * len(cells))
        return (u * self.noise.vocabulary).long().clamp_(max=self.noise.vocabulary - 1).tolist()

    def _laws(self, proposal: Proposal, p: Float[Tensor, "R V"]) -> Float[Tensor, "N V"]:
        """q of every node: p of the slot that named it, or all mass on it."""
        q = torch.zeros(len(proposal), p.shape[1], dtype=p.dtype, device=p.device)
        named = [(node, self._named[cell][1]) for node, cell in enumerate(proposal.cells) if cell in self._named]
        fixed = [node for node, cell in enumerate(proposal.cells) if cell not in self._named]
        q[[node for node, _ in named]] = p[[slot for _, slot in named]]
        q[fixed, [proposal.tokens[node] for node in fixed]] = 1.0
        return q

    def observe(
        self, state: State, proposal: Proposal, verdict: Verdict, p: Float[Tensor, "R V"], scores: Scores
    ) -> None:
        """Remember what every slot named for the cell after it."""
        assert verdict.refined is not None
        slots = [*(state.pending or (-1,)), *proposal.cells]
        self._p = p
        self._named = {
            cell + 1: (token, slot) for slot, (cell, token) in enumerate(zip(slots, verdict.refined, strict=True))
        }


def _append(proposal: Proposal, cell: int, token: int, parent: int) -> None:
    proposal.cells.append(cell)
    proposal.tokens.append(token)
    proposal.parents.append(parent)
