"""GSD, Grouped Speculative Decoding (arXiv 2508.07747, algorithm 3): a draft is judged with codes that are as likely.

    C(x) = x, and codes c of rank r - G // 2 .. r - G // 2 + G - 1 in p, ascending, r the rank of x,
           with |p(c) - p(x)| < delta and D(c, x) < d
    accept x if U < p'(C) / q'(C), p' and q' the sums of p and q over C(x)
    refused: sample from normalise(max(p - q, 0))

Not exact, but at G = 1, delta = 0 or d = 0 it is the rule of SJD. Decisions and differences: docs/papers/gsd.md.

| variable | symbol |
|---|---|
| `size` | G |
| `delta` | delta |
| `d`, `apart` | d, D: squared Euclidean distance of rows of the code book |
| `group` | C(x) |
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spatialspec.core.noise import Noise
from spatialspec.core.setting import Setting
from spatialspec.methods.options import parameter
from spatialspec.methods.rejection import Rejection


@dataclass(frozen=True)
class GSDSettings:
    """Which codes may stand together with a draft."""

    group: int = parameter(14, "codes of a group G, the draft itself included", 1)
    delta: float = parameter(0.15, "probabilities in a group differ from the draft's by less", high=1)
    d: float = parameter(math.inf, "squared distances of codes in a group to the draft are less", high=math.inf)


class GSD(Rejection):
    """Verifier by rejection on sums over groups."""

    Settings = GSDSettings

    @classmethod
    def make(cls, setting: Setting, settings: GSDSettings, rule: str) -> GSD:
        """The verifier of one image; by rejection, whichever rule was asked for."""
        return cls(setting.noise, setting.target.codebook, settings)

    def __init__(self, noise: Noise, codebook: Float[Tensor, "V c"], settings: GSDSettings) -> None:
        super().__init__(noise)
        self.codebook, self.size, self.delta, self.d = codebook, settings.group, settings.delta, settings.d

    def group(self, p: Float[Tensor, "V"], token: int) -> Bool[Tensor, "V"]:
        """C(x) as a mask: codes next to x in the order of p, cut at the ends; of equals the lower number is first."""
        rank = p.argsort(stable=True).argsort()
        place = rank - rank[token] + self.size // 2
        apart = (self.codebook - self.codebook[token]).square().sum(-1)
        members = (place >= 0) & (place < self.size) & ((p - p[token]).abs() < self.delta) & (apart < self.d)
        members[token] = True
        return members

    def masses(self, p: Float[Tensor, "V"], q: Float[Tensor, "V"], token: int) -> tuple[float, float]:
        """p'(C) and q'(C); a token outside the target's law gets nothing."""
        members = self.group(p, token)
        own, above, below = torch.stack((p[token], (p * members).sum(), (q * members).sum())).tolist()
        return above if own > 0 else 0.0, below
