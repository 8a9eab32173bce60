"""Rejection with several candidates per cell (Hawk, arXiv 2510.25739, section 3.4 and appendix A).

    p <- p_target(. | accepted prefix)
    for x, q in candidates, vertical first, then horizontal:
        accept x if U < p(x) / q(x), else p <- normalise(max(p - q, 0))
    if none is accepted: sample from the last p

The recursive form of speculative sampling (Leviathan et al., 2023; Chen et al., 2023) with a q of its own for each
candidate. Equations 9 and 11 of the paper print q_vert instead of q_horiz. Exact, not seed-exact.

| variable | symbol |
|---|---|
| `p` | p, then p'_v, p'_vh, the residuals |
| `proposal.q` | q_v, q_h |
| `u` | U |
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.errors import NotFinite
from spatialspec.core.interfaces import Coupling
from spatialspec.core.noise import Noise, Purpose, inverse_cdf
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Verdict

NONE = -1  # no node


def residual(p: Float[Tensor, "*N V"], q: Float[Tensor, "*N V"]) -> Float[Tensor, "*N V"]:
    """normalise(max(p - q, 0)); p where that is 0 everywhere, which happens only if p = q up to rounding."""
    rest = (p - q).clamp_(min=0)
    mass = rest.sum(-1, keepdim=True)
    return (rest / mass).where(mass != 0, p)  # NaN propagates


class Rejection(Coupling):
    """Verifier by rejection, for trees whose candidates `draw` sampled from the q that tests them."""

    def __init__(self, noise: Noise) -> None:
        self.noise = noise

    def draw(self, q: Float[Tensor, "Q V"], indices: Sequence[int], cells: Sequence[int], pass_index: int) -> list[int]:
        """An independent sample for each pair; the k-th pair of a cell draws its candidate k."""
        if not indices:
            return []
        count: Counter[int] = Counter()
        candidates = []
        for cell in cells:
            candidates.append(count[cell])
            count[cell] += 1
        u = self.noise.uniform(Purpose.DRAFT, pass_index, cells, candidates)
        tokens = inverse_cdf(q[list(indices)], u).tolist()
        if max(tokens) == q.shape[-1]:
            raise NotFinite(f"scores of cell {cells[tokens.index(q.shape[-1])]}", pass_index)
        return tokens

    def verify(self, proposal: Proposal, scores: Scores, state: State) -> Verdict:
        """Test candidates depth by depth, from the root."""
        accepted, tokens = self._tests(proposal, scores.p, state)
        path: list[int] = []
        slot = 0
        while (node := accepted[slot]) != NONE:
            path.append(node)
            slot = node + 1
        complete = bool(path) and proposal.cells[path[-1]] + 1 == state.layout.cells
        return Verdict(tuple(path), None if complete else tokens[slot])

    def _tests(self, proposal: Proposal, p: Float[Tensor, "R V"], state: State) -> tuple[list[int], list[int]]:
        """All tests of all slots at once: the first of each, then the second of slots that have two, and so on.

        Returns:
            For each slot the node that was accepted after it, or NONE, and the token that replaces refused ones.
        """
        rounds: dict[int, list[tuple[int, int, int, int]]] = defaultdict(list)
        for slot, tests in proposal.tests.items():
            for number, (node, index) in enumerate(tests):
                rounds[number].append((slot, node, index, proposal.tokens[node]))
        accepted = torch.full((len(p),), NONE, device=p.device)
        for number, tested in rounds.items():
            assert proposal.q is not None
            slots, nodes, indices, drafts = torch.from_numpy(np.array(tested).T.copy()).to(p.device)
            cells = [proposal.cells[node] for _, node, _, _ in tested]
            u = self.uniforms(cells, [number] * len(cells), state.passes)
            left, q = p[slots], proposal.q[indices]
            p_x, q_x = self.masses(left, q, drafts)
            passed = u.double() * q_x.double() < p_x.double()
            before = accepted[slots]
            accepted[slots] = nodes.where(passed & (before == NONE), before)
            p = p.index_copy(0, slots, self.refuse(left, q, drafts))
        last = state.layout.cells - 1  # nothing comes after it
        cells = [state.frontier, *(min(cell + 1, last) for cell in proposal.cells)]
        fresh = inverse_cdf(p, self.noise.uniform(Purpose.RESIDUAL, state.passes, cells, [0] * len(cells)))
        chosen, tokens = torch.stack((accepted, fresh)).tolist()
        return chosen, tokens

    def masses(
        self, p: Float[Tensor, "N V"], q: Float[Tensor, "N V"], tokens: Int[Tensor, "N"]
    ) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
        """p(x) and q(x) of drafts, each accepted if U q(x) < p(x); relaxed rules change them."""
        return p.gather(-1, tokens[:, None])[:, 0], q.gather(-1, tokens[:, None])[:, 0]

    def refuse(
        self, p: Float[Tensor, "N V"], q: Float[Tensor, "N V"], tokens: Int[Tensor, "N"]
    ) -> Float[Tensor, "N V"]:
        """The distributions after rejected drafts, in place of p."""
        return residual(p, q)

    def uniforms(self, cells: Sequence[int], numbers: Sequence[int], pass_index: int) -> Float[Tensor, "N"]:
        """U for tests at cells, each with its number among the tests after its slot."""
        return self.noise.uniform(Purpose.ACCEPT, pass_index, cells, numbers)

    def sample(self, scores: Scores, slots: Sequence[int], cells: Sequence[int], pass_index: int) -> list[int]:
        """A sample of the target's distribution after each of some slots, with the uniform numbers of residuals."""
        u = self.noise.uniform(Purpose.RESIDUAL, pass_index, cells, [0] * len(cells))
        return inverse_cdf(scores.p[list(slots)], u).tolist()

    def couple(
        self,
        p: Float[Tensor, "N V"],
        q: Float[Tensor, "N V"],
        tokens: Sequence[int],
        cells: Sequence[int],
        pass_index: int,
    ) -> list[int]:
        """Test each draft by itself: it is accepted, or a sample of the residual replaces it."""
        if not tokens:
            return []
        drawn, zeros = torch.tensor(tokens, device=p.device)[:, None], [0] * len(tokens)
        u = self.noise.uniform(Purpose.ACCEPT, pass_index, cells, zeros)
        accepted = u * q.gather(-1, drawn)[:, 0] < p.gather(-1, drawn)[:, 0]
        fresh = inverse_cdf(residual(p, q), self.noise.uniform(Purpose.RESIDUAL, pass_index, cells, zeros))
        return torch.where(accepted, drawn[:, 0], fresh).tolist()
