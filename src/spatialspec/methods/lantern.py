"""LANTERN (arXiv 2410.03355) and LANTERN++ (arXiv 2502.06352): similar codes lend a draft their probability.

    B_k(x): the k codes nearest to x in the codebook, nearest first, without x
    A(x) = x and the first m of B_k(x), m as large as possible with
           sum of p over these m  <=  delta                LANTERN
           sum of p over A(x)     <=  lambda p(x)          LANTERN++
    p_A  = p with the mass of A(x) moved to x
    accept x if U < p_A(x) / q(x), else p <- normalise(max(p_A - q, 0)) and test the next

Not exact; at k = 0, delta = 0 or lambda = 1 it is rejection. Decisions and differences: docs/papers/lantern.md.
Several grids: drafts are Hawk's.

| variable | symbol |
|---|---|
| `neighbours` | B_k |
| `room` | most mass that may move: delta, or (lambda - 1) p(x) |
| `pooled` | p_A |
| `factor` | lambda |
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Verifier
from spatialspec.methods.hawk import Hawk, TreeOptions
from spatialspec.methods.method import Method
from spatialspec.methods.rejection import Rejection

SIXTEENTH = -1  # as k: the paper's 1000 of 16384 codes, scaled
_K = "nearest codes that may lend to a draft; -1 is a sixteenth of all"


class LanternOptions(TreeOptions):
    """Number of neighbours, and the bound on the mass that moves."""

    k: int = Field(default=SIXTEENTH, ge=SIXTEENTH, le=65535, description=_K)
    delta: float = Field(default=0.1, ge=0, le=1, description="most probability that moves to a draft")


class LanternPlusOptions(TreeOptions):
    """Number of neighbours, and the bound on the mass that moves."""

    k: int = Field(default=10, ge=SIXTEENTH, le=65535, description=_K)
    factor: float = Field(default=5.0, ge=1, le=1024, description="lambda: most growth of a draft's probability")


_CACHE = WeakIdKeyDictionary()  # codebook -> k -> neighbours; freed with the codebook


def neighbours(codebook: Float[Tensor, "V c"], k: int) -> Int[Tensor, "V K"]:
    """The k nearest codes of every code, computed once for a codebook."""
    tables: dict[int, Int[Tensor, "V K"]] = _CACHE.setdefault(codebook, {})
    if k not in tables:
        tables[k] = nearest(codebook, k)
    return tables[k]


def nearest(codebook: Float[Tensor, "V c"], k: int) -> Int[Tensor, "V K"]:
    """The k nearest codes of every code, or all others where they are fewer; ties are ordered by code."""
    codes, near = codebook.double(), []
    for first in range(0, len(codes), 1024):
        chunk = codes[first : first + 1024]
        distance = torch.cdist(chunk, codes, compute_mode="donot_use_mm_for_euclid_dist")
        distance.diagonal(first).fill_(math.inf)
        near.append(distance.argsort(stable=True)[:, : min(k, len(codes) - 1)].to(torch.int32))
    return torch.cat(near)


class Lantern(Rejection):
    """Rejection on pooled probabilities, with a bound on the mass that moves."""

    def __init__(self, context: DecodeContext, options: LanternOptions | LanternPlusOptions, rule: Verifier) -> None:
        super().__init__(context.noise)
        codebook, self.options = context.target.codebook, options
        self.near = neighbours(codebook, len(codebook) // 16 if options.k == SIXTEENTH else options.k)

    def room(self, p_x: Float[Tensor, "N 1"]) -> Float[Tensor, "N 1"] | float:
        """The most mass that may move to drafts x of these probabilities."""
        assert isinstance(self.options, LanternOptions)
        return self.options.delta

    def pooled(self, p: Float[Tensor, "N V"], tokens: Int[Tensor, "N"]) -> Float[Tensor, "N V"]:
        """p_A: the longest prefix of neighbours within the bound gives its mass to x."""
        near, own = self.near[tokens].long(), tokens[:, None]
        lent = p.gather(-1, near)
        fits = lent.double().cumsum(-1) <= self.room(p.gather(-1, own).double())
        moved = p.scatter(-1, near, lent.where(~fits, 0.0))
        return moved.scatter_add_(-1, own, (lent * fits).sum(-1, keepdim=True))

    def masses(
        self, p: Float[Tensor, "N V"], q: Float[Tensor, "N V"], tokens: Int[Tensor, "N"]
    ) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
        """p_A(x) and q(x)."""
        return super().masses(self.pooled(p, tokens), q, tokens)

    def refuse(
        self, p: Float[Tensor, "N V"], q: Float[Tensor, "N V"], tokens: Int[Tensor, "N"]
    ) -> Float[Tensor, "N V"]:
        """p_A - q."""
        return self.pooled(p, tokens) - q


class LanternPlus(Lantern):
    """The bound is proportional to the draft's probability."""

    def room(self, p_x: Float[Tensor, "N 1"]) -> Float[Tensor, "N 1"] | float:
        """(lambda - 1) p(x)."""
        assert isinstance(self.options, LanternPlusOptions)
        return (self.options.factor - 1) * p_x


LANTERN = Method(
    "lantern", "Hawk, neighbours in the codebook lend to a draft", LanternOptions(), Hawk,
    verifier=Lantern, rule="rejection", lossless=False, drafts="hawk",
)  # fmt: skip
LANTERN_PLUS = Method(
    "lantern++", "LANTERN, lent in proportion to the draft", LanternPlusOptions(), Hawk,
    verifier=LanternPlus, rule="rejection", lossless=False, drafts="hawk",
)  # fmt: skip
