"""Coupled noise: a guess stays if it is the very token that AR would have taken with the same noise.

Cell t takes argmax(log p_t + g(seed, t)), g Gumbel noise: a sample of p_t (Gumbel-max), and the same one whichever
drafter asks. Exact, and `seed_exact`: same seed, same tokens as AR.

A tolerance turns the rule into a dial. A guess x stays if its score is not far behind the best, measured by how unsure
the target is, and if it is not much more surprising than tokens of p are on average:

    max_y (log p(y) + g(y)) - (log p(x) + g(x)) <= tau H(p)   and   -log p(x) <= H(p) + tau + 2

tau = 0 is exact, infinity keeps every guess. Where p is sharp hardly anything but the best is let through; where it is
flat, one token is as good as another. A copy that only stands in for a guess, so that the cell behind can be scored, is
kept where it is the best token: a decoder that kept copies would draw stripes, and the target would find them likely.

| variable | symbol |
|---|---|
| `p` | p, target distribution after every row of the pass |
| `noise.gumbel` | g(seed, t) |
| `winners` | argmax(log p + g) for the cell after every row |
| `behind`, `surprise` | the left sides of the rule, for every node |
| `entropy` | H(p), nats |
| `tolerance` | tau |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.noise import Noise, best
from spatialspec.core.proposal import Proposal, Verdict
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.methods.options import parameter

SURPRISE = 2.0  # nats beyond the entropy that a guess may always have
SURE = 1e-6  # instead of an entropy of 0, so that an infinite tolerance lets everything pass


@dataclass(frozen=True)
class CoupledSettings:
    """The dial from exact to fast."""

    tolerance: float = parameter(
        0.0,
        "how far behind the best a guess may be, per nat of entropy; 0: exact, inf: every guess stays but stand-ins",
        high=inf,
    )


class Coupled:
    """Verifier under coupled noise, for any tree."""

    Settings = CoupledSettings

    @classmethod
    def make(cls, setting: Setting, settings: CoupledSettings, rule: str) -> Coupled:
        """The verifier of one image."""
        return cls(setting.noise, settings.tolerance)

    def __init__(self, noise: Noise, tolerance: float = 0.0) -> None:
        self.noise, self.tolerance = noise, tolerance

    def draw(self, q: Float[Tensor, "Q V"], rows: Sequence[int], cells: Sequence[int], turn: int) -> list[int]:
        """The best token of log q + g for each row; where a row occurs again, its next best."""
        if not rows:
            return []
        most = Counter(rows).most_common(1)[0][1]
        where = dict(zip(rows, cells, strict=True))
        order = sorted(where)
        score = q[order].log() + self.noise.gumbel([where[row] for row in order])
        ranked = dict(zip(order, score.topk(most, dim=-1).indices.tolist(), strict=True))
        taken: Counter[int] = Counter()
        tokens = []
        for row in rows:
            tokens.append(ranked[row][taken[row]])
            taken[row] += 1
        return tokens

    def score(self, proposal: Proposal, p: Float[Tensor, "R V"], state: State) -> Float[Tensor, "R V"]:
        """log p + g for the cell after every row."""
        return p.log() + self.noise.gumbel([state.frontier, *(cell + 1 for cell in proposal.cells)])

    def winners(self, proposal: Proposal, p: Float[Tensor, "R V"], state: State) -> list[int]:
        """The target's token for the cell after every row."""
        return best(self.score(proposal, p, state)).tolist()

    def verify(self, proposal: Proposal, p: Float[Tensor, "R V"], state: State) -> Verdict:
        """Follow the tokens that stay down the tree; where none does, the target's own token is written."""
        score = self.score(proposal, p, state)
        stays = self._near(proposal, p, score) if self.tolerance else best(score).tolist()
        path: list[int] = []
        row = 0
        while (node := proposal.find(row - 1, stays[row])) is not None:
            path.append(node)
            if state.frontier + len(path) == state.grid.cells:
                return Verdict(tuple(path), refined=tuple(stays), score=score)
            row = node + 1
        return Verdict(tuple(path), stays[row], tuple(stays), score=score)

    def _near(self, proposal: Proposal, p: Float[Tensor, "R V"], score: Float[Tensor, "R V"]) -> list[int]:
        """The best child of every row that is within the tolerance, else the winner."""
        stays = best(score).tolist()
        if not len(proposal):
            return stays
        rows, tokens = torch.tensor([[up + 1 for up in proposal.parents], proposal.tokens], device=p.device)
        entropy = torch.special.entr(p).sum(-1).clamp(min=SURE)[rows]
        behind, surprise = score.amax(-1)[rows] - score[rows, tokens], -p[rows, tokens].log()
        near = (behind <= self.tolerance * entropy) & (surprise <= entropy + self.tolerance + SURPRISE)
        nearest = [inf] * len(stays)
        nodes = zip(proposal.tokens, proposal.parents, near.tolist(), behind.tolist(), strict=True)
        for node, (token, up, within, distance) in enumerate(nodes):
            if within and distance <= nearest[up + 1] and node not in proposal.stand_ins:
                nearest[up + 1], stays[up + 1] = distance, token
        return stays
