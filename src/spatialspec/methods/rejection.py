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

from collections import Counter
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.errors import NotFinite
from spatialspec.core.noise import Noise, Purpose, inverse_cdf
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Verdict


def residual(p: Float[Tensor, "*N V"], q: Float[Tensor, "*N V"]) -> Float[Tensor, "*N V"]:
    """normalise(max(p - q, 0)); p where that is 0 everywhere, which happens only if p = q up to rounding."""
    rest = (p - q).clamp_(min=0)
    mass = rest.sum(-1, keepdim=True)
    return (rest / mass).where(mass != 0, p)  # NaN propagates


class Rejection:
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
        u = self.noise.uniform(Purpose.DRAFT, pass_index, list(cells), candidates)
        tokens = inverse_cdf(q[list(indices)], u).tolist()
        if max(tokens) == q.shape[-1]:
            raise NotFinite(f"scores of cell {cells[tokens.index(q.shape[-1])]}", pass_index)
        return tokens

    def verify(self, proposal: Proposal, p: Float[Tensor, "R V"], state: State) -> Verdict:
        """Test candidates depth by depth, from the root."""
        path: list[int] = []
        slot = 0
        while True:
            cell = state.frontier + len(path)
            tests, target, accepted = proposal.tests.get(slot, []), p[slot], None
            u = self.uniforms(cell, len(tests), state.passes)
            for (node, index), threshold in zip(tests, u, strict=True):
                assert proposal.q is not None
                q, token = proposal.q[index], proposal.tokens[node]
                p_x, q_x = self.masses(target, q, token)
                if threshold * q_x < p_x:
                    accepted = node
                    break
                target = self.refuse(target, q, token)
            if accepted is None:
                fresh = self.noise.uniform(Purpose.RESIDUAL, state.passes, [cell], [0])
                return Verdict(tuple(path), int(inverse_cdf(target, fresh[0])))
            path.append(accepted)
            if cell + 1 == state.layout.cells:
                return Verdict(tuple(path))
            slot = accepted + 1

    def masses(self, p: Float[Tensor, "V"], q: Float[Tensor, "V"], token: int) -> tuple[float, float]:
        """p(x) and q(x) of a draft, which is accepted if U q(x) < p(x); relaxed rules change them."""
        return float(p[token]), float(q[token])

    def refuse(self, p: Float[Tensor, "V"], q: Float[Tensor, "V"], token: int) -> Float[Tensor, "V"]:
        """The distribution after a rejected draft, in place of p."""
        return residual(p, q)

    def uniforms(self, cell: int, count: int, pass_index: int) -> list[float]:
        """U for every test at a cell."""
        if not count:
            return []
        return self.noise.uniform(Purpose.ACCEPT, pass_index, [cell] * count, list(range(count))).tolist()

    def sample(self, p: Float[Tensor, "N V"], cells: Sequence[int], pass_index: int) -> list[int]:
        """A sample of the target's distribution at each cell, with the uniform numbers of residuals."""
        return inverse_cdf(p, self.noise.uniform(Purpose.RESIDUAL, pass_index, list(cells), [0] * len(cells))).tolist()

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
        u = self.noise.uniform(Purpose.ACCEPT, pass_index, list(cells), zeros)
        accepted = u * q.gather(-1, drawn)[:, 0] < p.gather(-1, drawn)[:, 0]
        fresh = inverse_cdf(residual(p, q), self.noise.uniform(Purpose.RESIDUAL, pass_index, list(cells), zeros))
        return torch.where(accepted, drawn[:, 0], fresh).tolist()
