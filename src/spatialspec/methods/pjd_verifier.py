"""PJD's test (arXiv 2606.05703): every active row of the picture on its own, left to right.

    accept x_ij if u < min(1, p^(k)_ij(x_ij) / q_ij(x_ij))
    top row:    a sample of normalise(max(0, p - q)) at the first rejection, or of p after the last draft
    lower rows: nothing at the first rejection, nothing after the last draft

Behind that every slot names a fresh sample of p^(k), the next draft of the cell after it. Under coupled noise a slot
names argmax(log p + g), and a draft stays if it is that token. Not exact, but for a single row at a time: a lower row
is read before the row above it is complete, and favours tokens on which two passes agree.

| variable | symbol |
|---|---|
| `p`, `proposal.q` | p^(k), q |
| `decided` | x_ij where it stays, else the sample of the residual |
| `named` | a fresh sample of p^(k) at every slot |
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from spatialspec.core.noise import best
from spatialspec.core.proposal import ROOT, Proposal, Verdict
from spatialspec.core.state import State
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.on_rule import OnRule


class RowByRow(OnRule):
    """Verifier of one chain per row of the picture; works on the rule of another verifier."""

    def verify(self, proposal: Proposal, p: Float[Tensor, "R V"], state: State) -> Verdict:
        """Test all chains at once; nodes without a test are stand-ins and are never written."""
        cells, parents, first = proposal.cells, proposal.parents, max(len(state.pending), 1)
        drafted = sorted(node for tests in proposal.tests.values() for node, _ in tests)  # the top row's come first
        pending = {cell: row for row, cell in enumerate(state.pending)}
        slots = [pending[cells[i] - 1] if parents[i] == ROOT else first + parents[i] for i in drafted]
        named = self._name(p, [cell + 1 for cell in (*(state.pending or (-1,)), *cells)], state.passes)
        decided = self._decide(proposal, p, drafted, slots, named, state.passes)
        stays: dict[int, bool] = {}
        for node, token in zip(drafted, decided, strict=True):
            stays[node] = token == proposal.tokens[node] and stays.get(parents[node], True)
        top = [node for node in drafted if cells[node] // state.grid.columns == state.frontier // state.grid.columns]
        path = [node for node in top if stays[node]]
        own = decided[len(path)] if len(path) < len(top) else named[first + path[-1] if path else 0]
        lower = [node for node in drafted[len(top) :] if stays[node]]
        return Verdict(tuple(path), own, tuple(named), elsewhere=tuple(lower))

    def _name(self, p: Float[Tensor, "R V"], after: list[int], turn: int) -> list[int]:
        """A fresh sample at every slot, for the cell after it."""
        if isinstance(self.rule, Coupled):
            return best(p.log() + self.rule.noise.gumbel(after)).tolist()
        return self.rule.draw(p, range(len(after)), after, turn)

    def _decide(
        self,
        proposal: Proposal,
        p: Float[Tensor, "R V"],
        drafted: list[int],
        slots: list[int],
        named: list[int],
        turn: int,
    ) -> list[int]:
        """Each draft where it stays, else the sample that takes its place."""
        if isinstance(self.rule, Coupled) or proposal.q is None:
            return [named[slot] for slot in slots]
        tokens, cells = [proposal.tokens[i] for i in drafted], [proposal.cells[i] for i in drafted]
        return self.rule.couple(p[slots], proposal.q[drafted], tokens, cells, turn)
