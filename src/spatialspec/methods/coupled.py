"""Coupled noise: a guess is accepted if AR would draw the same token with the same noise.

Cell t takes argmax(log p_t + g(seed, t)), g Gumbel noise: a sample of p_t (Gumbel-max) that does not depend on the
drafter. Exact, and `seed_exact`: the tokens are identical to plain AR for the same seed.

With a tolerance the rule is a dial. A guess x is accepted if its score is close to the best, relative to the entropy of
p, and if its surprise is close to that entropy or below it:

    max_y (log p(y) + g(y)) - (log p(x) + g(x)) <= tau H(p)   and   -log p(x) <= H(p) + tau + 2

tau = 0 is exact, infinity accepts every guess. A sharp p accepts almost only the best token, a flat p many tokens. A
placeholder token, read so that the next cell can be scored, is accepted only where it is the best token: a decoder that
accepted copies would draw stripes, and the target would find them likely.

| variable | symbol |
|---|---|
| `scores.p` | p, target distribution after every slot of the pass |
| `noise.gumbel` | g(seed, t) |
| `scores.winners` | argmax(log p + g) for the cell after every slot |
| `behind`, `surprise` | the left sides of the rule, for every node |
| `entropy` | H(p), nats |
| `tolerance` | tau |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import inf

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.interfaces import Verifier
from spatialspec.core.noise import Noise, rows
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Verdict

SURPRISE = 2.0  # nats beyond the entropy that a guess may always have
SURE = 1e-6  # least entropy, so that an infinite tolerance accepts everything


class Coupled(Verifier):
    """Verifier under coupled noise, for any tree.

    Args:
        noise: of the image.
        tolerance: tau, 0 to infinity.
    """

    def __init__(self, noise: Noise, tolerance: float = 0.0) -> None:
        self.noise = self.ranks = noise
        self.tolerance = tolerance

    def draw(
        self, q: Float[Tensor, "Q V"], indices: Sequence[int], cells: Sequence[int], pass_index: int
    ) -> Int[Tensor, "N"]:
        """The best token of log q + g for each index of q; the next best where an index occurs again."""
        cell_of = dict(zip(indices, cells, strict=True))
        order = sorted(cell_of)
        most = max(Counter(indices).values(), default=0)
        score = rows(q, order).log() + self.noise.gumbel([cell_of[index] for index in order])
        ranked = score.topk(most, dim=-1).indices
        position = {index: most * i for i, index in enumerate(order)}
        taken: Counter[int] = Counter()
        chosen = []
        for index in indices:
            chosen.append(position[index] + taken[index])
            taken[index] += 1
        return rows(ranked.flatten(), chosen)

    def sample(self, scores: Scores, slots: Sequence[int], cells: Sequence[int], pass_index: int) -> list[int]:
        """The target's token after some slots: under coupled noise the same in every pass."""
        return [scores.winners[slot] for slot in slots]

    def verify(self, proposal: Proposal, scores: Scores, state: State) -> Verdict:
        """Follow accepted tokens down the tree; the target's token ends the path."""
        accepted = self._near(proposal, scores) if self.tolerance else scores.winners
        path: list[int] = []
        slot, cell = 0, state.frontier
        while (node := proposal.find(slot - 1, cell, accepted[slot])) is not None:
            path.append(node)
            cell += 1
            if cell == state.layout.cells:
                return Verdict(tuple(path), refined=tuple(accepted))
            slot = node + 1
        return Verdict(tuple(path), accepted[slot], tuple(accepted))

    def _near(self, proposal: Proposal, scores: Scores) -> list[int]:
        """The best child of every slot that is within the tolerance, else the winner."""
        accepted = list(scores.winners)
        if not len(proposal):
            return accepted
        assert scores.readout is not None
        entropy, behind, surprise = (part[1:] for part in scores.readout.near)
        entropy = np.maximum(entropy, SURE)
        near = (behind <= self.tolerance * entropy) & (surprise <= entropy + self.tolerance + SURPRISE)
        nearest = [inf] * len(accepted)
        nodes = zip(proposal.tokens, proposal.parents, near.tolist(), behind.tolist(), strict=True)
        for node, (token, up, within, distance) in enumerate(nodes):
            if within and distance <= nearest[up + 1] and node not in proposal.placeholders:
                nearest[up + 1], accepted[up + 1] = distance, token
        return accepted
