"""GSD, Grouped Speculative Decoding (arXiv 2508.07747, algorithm 3): a draft is tested with codes of similar p.

    C(x) = x, and codes c of rank r - G // 2 .. r - G // 2 + G - 1 in p, ascending, r the rank of x,
           with |p(c) - p(x)| < delta and D(c, x) < d
    accept x if U < p'(C) / q'(C), p' and q' the sums of p and q over C(x)
    refused: sample from normalise(max(p - q, 0))

Not exact; at G = 1, delta = 0 or d = 0 it is the rule of SJD. Decisions and differences: docs/papers/gsd.md.
Several grids: drafts are SJD's.

| variable | symbol |
|---|---|
| `options.group` | G |
| `options.delta` | delta |
| `options.d` | d, compared with D: squared Euclidean distance of code vectors |
| `group` | C(x) |
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Verifier
from spatialspec.methods.method import Method
from spatialspec.methods.rejection import Rejection
from spatialspec.methods.sjd import SJD, WindowOptions


class GSDOptions(WindowOptions):
    """Which codes may be tested together with a draft."""

    group: int = Field(default=14, ge=1, le=1024, description="codes of a group G, the draft itself included")
    delta: float = Field(default=0.15, ge=0, le=1, description="probabilities in a group differ by less")
    d: float = Field(default=math.inf, ge=0, description="squared distances of codes in a group to the draft are less")


class GSD(Rejection):
    """Rejection on sums over groups."""

    def __init__(self, context: DecodeContext, options: GSDOptions, rule: Verifier) -> None:
        super().__init__(context.noise)
        self.codebook, self.options = context.target.codebook, options

    def group(
        self, p: Float[Tensor, "N V"], tokens: Int[Tensor, "N"]
    ) -> tuple[Int[Tensor, "N G"], Bool[Tensor, "N G"]]:
        """Codes next to x in the order of p, ties ordered by code, and which of them are in C(x)."""
        order, half = p.argsort(dim=-1, stable=True), self.options.group // 2
        ranks = (order == tokens[:, None]).int().argmax(-1, keepdim=True) - half
        ranks = ranks + torch.arange(self.options.group, device=p.device)
        within = (ranks >= 0) & (ranks < p.shape[-1])  # cut at the ends
        codes = order.gather(-1, ranks.clamp(0, p.shape[-1] - 1))
        own = tokens[:, None]
        members = within & ((p.gather(-1, codes) - p.gather(-1, own)).abs() < self.options.delta)
        if self.options.d < math.inf:
            members &= (self.codebook[codes] - self.codebook[own]).square().sum(-1) < self.options.d
        members[:, half] = True
        return codes, members

    def masses(
        self, p: Float[Tensor, "N V"], q: Float[Tensor, "N V"], tokens: Int[Tensor, "N"]
    ) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
        """p'(C) and q'(C); 0 and q'(C) for a token of probability 0 under the target."""
        codes, members = self.group(p, tokens)
        p_group, q_group = ((distribution.gather(-1, codes) * members).sum(-1) for distribution in (p, q))
        return p_group.where(p.gather(-1, tokens[:, None])[:, 0] > 0, 0.0), q_group


METHOD = Method(
    "gsd", "SJD, drafts judged in groups of like odds", GSDOptions(), SJD, verifier=GSD, rule="rejection",
    lossless=False,
)  # fmt: skip
