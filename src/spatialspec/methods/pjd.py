"""PJD, Parallel Jacobi Decoding (arXiv 2606.05703): speculative Jacobi decoding in several rows of the image at once.

    O_k = {i + 1 : c_i >= c, row i + 1 not opened before}     rows opened in pass k; c_i is the written cells of row i
    L_i = min(W, c_{i-1} - c_i)                               drafts of a lower row: it never passes the row above
    L_i = min(W, C - c_i - 1)                                 drafts of the top row

The drafts of a row are tokens sampled at its slots in the last pass (`refined`, with q = p there), cut to L_i. Further
drafts are uniform samples, whose q has all mass on the token. A row without a cell starts behind a placeholder, as in
ZipAR. Several grids: the first row of each opens when the grid before is complete.

The verifier tests each active row separately, left to right:

    accept x_ij if u < min(1, p^(k)_ij(x_ij) / q_ij(x_ij))
    top row:    a sample of normalise(max(0, p - q)) at the first rejection, or of p after the last draft
    lower rows: nothing at the first rejection, nothing after the last draft

Then a fresh sample of p^(k) at every slot is the next draft of the cell after it. Under coupled noise the sample is
argmax(log p + g), and a draft is accepted if it is that token. Not exact, except with a single active row: a lower row
is read before the row above it is complete, and favours tokens on which two passes agree.

| variable | symbol |
|---|---|
| `context` | T_ctx, c |
| `width` | W |
| `written`, `above` | c_i, c_{i-1} |
| `_p`, `_sampled` | p^(k-1) of every slot; for each cell the draft sampled in the last pass, and its slot |
| `p`, `proposal.q` | p^(k), q |
| `tested` | x_ij if accepted, else the sample of the residual |
| `fresh` | a fresh sample of p^(k) at every slot |
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Drafter, Verifier
from spatialspec.core.noise import Purpose
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.method import Method
from spatialspec.methods.options import Options
from spatialspec.methods.rejection import Rejection
from spatialspec.methods.zipar import Placeholders

FILL = 1  # candidate number of a uniform fill; candidate 0 of the same cell and pass is the verifier's fresh sample


class PJDOptions(Options):
    """When a row opens, and how many cells of it are drafted."""

    fixed = "a pass has as many rows as are open: set width, the drafts of one row"
    context: int = Field(default=4, ge=1, le=1024, description="cells of a row after which the next opens, c")
    width: int = Field(default=7, ge=1, le=64, description="longest draft of a row, W")


class PJD(Drafter):
    """The drafter of one image."""

    first_source = "other"

    def __init__(self, context: DecodeContext, options: PJDOptions, verifier: Verifier) -> None:
        self.options, self.noise = options, context.noise
        self.placeholders = Placeholders()
        self._p: Float[Tensor, "R V"] | None = None
        self._sampled: dict[int, tuple[int, int]] = {}

    def propose(self, state: State) -> Proposal:
        """A chain for every active row; the index of q is the node; placeholders are not tested."""
        if self._p is None:
            return Proposal()
        width, (grid, index) = self.options.width, state.layout.locate(state.frontier)
        proposal = Proposal()
        row, written = divmod(index, grid.columns)
        self._extend(proposal, state, state.frontier, min(width, grid.columns - written - 1))
        first, above = state.frontier - written, written
        while above >= self.options.context and (row := row + 1) < grid.rows:
            first += grid.columns
            written = next(j for j in range(grid.columns) if first + j not in state.ahead)
            self._extend(proposal, state, first + written, min(width, above - written))
            above = written
        proposal.q = self._distributions(proposal, self._p)
        return proposal

    def _extend(self, proposal: Proposal, state: State, first: int, length: int) -> None:
        """Add the chain of one row, behind a placeholder where the cell before it is open."""
        parent = ROOT
        if state.token(first - 1) is None:
            parent = proposal.add(first - 1, self.placeholders.at(first - 1, state), ROOT)
        cells = range(first, first + length)
        new = [cell for cell in cells if cell not in self._sampled]
        fills = dict(zip(new, self._uniform(new, state.passes), strict=True))
        for cell in cells:
            token = fills[cell] if cell in fills else self._sampled[cell][0]
            parent = proposal.add(cell, token, parent, len(proposal))

    def _uniform(self, cells: list[int], pass_index: int) -> list[int]:
        if not cells:
            return []
        u = self.noise.uniform(Purpose.DRAFT, pass_index, cells, [FILL] * len(cells))
        return (u * self.noise.vocabulary).long().clamp_(max=self.noise.vocabulary - 1).tolist()

    def _distributions(self, proposal: Proposal, p: Float[Tensor, "R V"]) -> Float[Tensor, "N V"]:
        """q of every node: p of the slot that it was sampled at, or all mass on its token."""
        q = torch.zeros(len(proposal), p.shape[1], dtype=p.dtype, device=p.device)
        sampled = [(node, self._sampled[cell][1]) for node, cell in enumerate(proposal.cells) if cell in self._sampled]
        uniform = [node for node, cell in enumerate(proposal.cells) if cell not in self._sampled]
        q[[node for node, _ in sampled]] = p[[slot for _, slot in sampled]]
        q[uniform, [proposal.tokens[node] for node in uniform]] = 1.0
        return q

    def observe(self, step: Step) -> None:
        """Store p of every slot and the token sampled there."""
        slots = [*(step.before.pending or (-1,)), *step.proposal.cells]
        self._p = step.p
        self._sampled = {
            cell + 1: (token, slot)
            for slot, (cell, token) in enumerate(zip(slots, step.verdict.refined or (), strict=False))
        }


class RowByRow(Verifier):
    """Verifier of one chain per row of the image; applies the rule of another verifier."""

    def __init__(self, context: DecodeContext, options: PJDOptions, rule: Coupled | Rejection) -> None:
        self.rule, self.ranks = rule, rule.ranks

    def draw(
        self, q: Float[Tensor, "Q V"], indices: Sequence[int], cells: Sequence[int], pass_index: int
    ) -> Int[Tensor, "N"]:
        """As the rule draws them."""
        return self.rule.draw(q, indices, cells, pass_index)

    def verify(self, proposal: Proposal, scores: Scores, state: State) -> Verdict:
        """Test all chains at once; nodes without a test are placeholders and are never committed."""
        cells, parents, first = proposal.cells, proposal.parents, max(len(state.pending), 1)
        drafted = sorted(node for tests in proposal.tests.values() for node, _ in tests)  # the top row's come first
        pending = {cell: slot for slot, cell in enumerate(state.pending)}
        slots = [pending[cells[i] - 1] if parents[i] == ROOT else first + parents[i] for i in drafted]
        fresh = self._sample(scores, [cell + 1 for cell in (*(state.pending or (-1,)), *cells)], state.passes)
        tested = self._test(proposal, scores.p, drafted, slots, fresh, state.passes)
        accepted: dict[int, bool] = {}
        for node, token in zip(drafted, tested, strict=True):
            accepted[node] = token == proposal.tokens[node] and accepted.get(parents[node], True)
        grid, index = state.layout.locate(state.frontier)
        end = state.frontier - index % grid.columns + grid.columns  # of the top row
        top = [node for node in drafted if cells[node] < end]
        path = [node for node in top if accepted[node]]
        token = tested[len(path)] if len(path) < len(top) else fresh[first + path[-1] if path else 0]
        lower = [node for node in drafted[len(top) :] if accepted[node]]
        return Verdict(tuple(path), token, tuple(fresh), elsewhere=tuple(lower))

    def _sample(self, scores: Scores, after: list[int], pass_index: int) -> list[int]:
        """A fresh sample at every slot, for the cell after it."""
        if isinstance(self.rule, Coupled):
            return scores.winners
        return self.rule.draw(scores.p, range(len(after)), after, pass_index).tolist()

    def _test(
        self,
        proposal: Proposal,
        p: Float[Tensor, "R V"],
        drafted: list[int],
        slots: list[int],
        fresh: list[int],
        pass_index: int,
    ) -> list[int]:
        """Each draft if it is accepted, else the sample that replaces it."""
        if isinstance(self.rule, Coupled) or proposal.q is None:
            return [fresh[slot] for slot in slots]
        tokens, cells = [proposal.tokens[i] for i in drafted], [proposal.cells[i] for i in drafted]
        return self.rule.couple(p[slots], proposal.q[drafted], tokens, cells, pass_index)


METHOD = Method("pjd", "Jacobi drafts in several rows at once", PJDOptions(), PJD, verifier=RowByRow, lossless=False)
