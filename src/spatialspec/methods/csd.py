"""CSD, Content-aware Speculative Decoding (arXiv 2606.27829): looser where the target's entropy is high.

    H  = - sum_x p(x) ln p(x),   TV = 1/2 sum_x |p(x) - q(x)|
    eps = lambda H if TV < delta, else 0
    accept x if U < p(x) / q(x) + eps
    refused: sample from normalise(max(p - q, 0))

Not exact: the distribution of a cell, given those before, differs by sum over q > p of min(q - p, eps q), which is less
than delta. At lambda = 0 or delta = 0 it is the rule of SJD. Decisions and differences: docs/papers/csd.md.
Several grids: drafts are SJD's.

| variable | symbol |
|---|---|
| `strength` | lambda |
| `delta` | delta |
| `entropy` | H, in nats |
| `variation` | TV |
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Verifier
from spatialspec.methods.method import Method
from spatialspec.methods.rejection import Rejection
from spatialspec.methods.sjd import SJD, WindowOptions


class CSDOptions(WindowOptions):
    """Bonus added to the ratio p / q, and its condition."""

    strength: float = Field(default=0.5, ge=0, le=1024, description="lambda: added to p / q, per nat of entropy")
    delta: float = Field(default=0.65, ge=0, le=2, description="only where the total variation of p and q is less")


class CSD(Rejection):
    """Rejection with a bonus for entropy."""

    def __init__(self, context: DecodeContext, options: CSDOptions, rule: Verifier) -> None:
        super().__init__(context.noise)
        self.strength, self.delta = options.strength, options.delta

    def masses(
        self, p: Float[Tensor, "N V"], q: Float[Tensor, "N V"], tokens: Int[Tensor, "N"]
    ) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
        """p(x) + eps q(x), and q(x)."""
        p_x, q_x = super().masses(p, q, tokens)
        entropy, variation = torch.special.entr(p).sum(-1), (p - q).abs().sum(-1) / 2
        return p_x + (self.strength * entropy).where(variation < self.delta, 0.0) * q_x, q_x


METHOD = Method(
    "csd", "SJD, looser where the target is unsure", CSDOptions(), SJD, verifier=CSD, rule="rejection", lossless=False
)
