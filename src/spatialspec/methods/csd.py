"""CSD, Content-aware Speculative Decoding (arXiv 2606.27829): looser where the target is unsure.

    H  = - sum_x p(x) ln p(x),   TV = 1/2 sum_x |p(x) - q(x)|
    eps = lambda H if TV < delta, else 0
    accept x if U < p(x) / q(x) + eps
    refused: sample from normalise(max(p - q, 0))

Not exact; the law of a cell, given those before, is off by sum over q > p of min(q - p, eps q), which is less than
delta. At lambda = 0 or delta = 0 it is the rule of SJD. Decisions and differences: docs/papers/csd.md.

| variable | symbol |
|---|---|
| `strength` | lambda |
| `delta` | delta |
| `entropy` | H, in nats |
| `variation` | TV |
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.noise import Noise
from spatialspec.core.setting import Setting
from spatialspec.methods.options import parameter
from spatialspec.methods.rejection import Rejection


@dataclass(frozen=True)
class CSDSettings:
    """How much is added to the ratio, and where."""

    strength: float = parameter(0.5, "lambda: what is added to p / q, per nat of entropy")
    delta: float = parameter(0.65, "only where the total variation of p and q is less", high=2)


class CSD(Rejection):
    """Verifier by rejection with a bonus for entropy."""

    Settings = CSDSettings

    @classmethod
    def make(cls, setting: Setting, settings: CSDSettings, rule: str) -> CSD:
        """The verifier of one image; by rejection, whichever rule was asked for."""
        return cls(setting.noise, settings)

    def __init__(self, noise: Noise, settings: CSDSettings) -> None:
        super().__init__(noise)
        self.strength, self.delta = settings.strength, settings.delta

    def masses(self, p: Float[Tensor, "V"], q: Float[Tensor, "V"], token: int) -> tuple[float, float]:
        """p(x) + eps q(x), and q(x)."""
        entropy, variation = torch.special.entr(p).sum(), (p - q).abs().sum() / 2
        h, tv, above, below = torch.stack((entropy, variation, p[token], q[token])).tolist()
        eps = self.strength * h if tv < self.delta else 0.0
        return above + eps * below, below
