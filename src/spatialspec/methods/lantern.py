"""LANTERN (arXiv 2410.03355) and LANTERN++ (arXiv 2502.06352): codes that look alike lend a draft their probability.

    B_k(x): the k codes nearest to x in the code book, nearest first, without x
    A(x) = x and the first m of B_k(x), m as large as possible with
           sum of p over these m  <=  delta                LANTERN
           sum of p over A(x)     <=  lambda p(x)          LANTERN++
    p_A  = p with the mass of A(x) moved to x
    accept x if U < p_A(x) / q(x), else p <- normalise(max(p_A - q, 0)) and test the next

Not exact; at k = 0, delta = 0 or lambda = 1 it is rejection. Decisions and differences: docs/papers/lantern.md.

| variable | symbol |
|---|---|
| `neighbours` | B_k |
| `room` | most mass that may move: delta, or (lambda - 1) p(x) |
| `pooled` | p_A |
| `factor` | lambda |
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from spatialspec.core.noise import Noise
from spatialspec.core.setting import Setting
from spatialspec.methods.options import parameter
from spatialspec.methods.rejection import Rejection

SIXTEENTH = -1  # as k: the paper's 1000 of 16384 codes, scaled


@dataclass(frozen=True)
class LanternSettings:
    """How many neighbours may lend how much."""

    k: int = parameter(SIXTEENTH, "nearest codes that may lend to a draft; -1 is a sixteenth of all", SIXTEENTH, 65535)
    delta: float = parameter(0.1, "most probability that moves to a draft", high=1)


@dataclass(frozen=True)
class LanternPlusSettings:
    """How many neighbours may lend how much."""

    k: int = parameter(10, "nearest codes that may lend to a draft; -1 is a sixteenth of all", SIXTEENTH, 65535)
    factor: float = parameter(5.0, "lambda: a draft's probability grows at most so many times", 1)


_KNOWN = WeakIdKeyDictionary()  # code book -> k -> neighbours; they go with the code book


def neighbours(codebook: Float[Tensor, "V c"], k: int) -> Int[Tensor, "V K"]:
    """The k nearest codes of every code, made once for a code book."""
    made: dict[int, Int[Tensor, "V K"]] = _KNOWN.setdefault(codebook, {})
    if k not in made:
        made[k] = nearest(codebook, k)
    return made[k]


def nearest(codebook: Float[Tensor, "V c"], k: int) -> Int[Tensor, "V K"]:
    """The k nearest codes of every code, or all others where they are fewer; of equals the lower number first."""
    codes, near = codebook.double(), []
    for first in range(0, len(codes), 1024):
        some = codes[first : first + 1024]
        apart = torch.cdist(some, codes, compute_mode="donot_use_mm_for_euclid_dist")
        apart.diagonal(first).fill_(math.inf)
        near.append(apart.argsort(stable=True)[:, : min(k, len(codes) - 1)].to(torch.int32))
    return torch.cat(near)


class Lantern(Rejection):
    """Verifier by rejection on pooled probabilities, with a bound on the mass that moves."""

    Settings = LanternSettings

    @classmethod
    def make(cls, setting: Setting, settings: LanternSettings, rule: str) -> Lantern:
        """The verifier of one image; by rejection, whichever rule was asked for."""
        return cls(setting.noise, setting.target.codebook, settings.k, settings.delta)

    def __init__(self, noise: Noise, codebook: Float[Tensor, "V c"], k: int, bound: float) -> None:
        super().__init__(noise)
        self.bound = bound
        self.near = neighbours(codebook, len(codebook) // 16 if k == SIXTEENTH else k)

    def room(self, own: Float[Tensor, ""]) -> Float[Tensor, ""] | float:
        """The most mass that may move to a draft of this probability."""
        return self.bound

    def pooled(self, p: Float[Tensor, "V"], token: int) -> Float[Tensor, "V"]:
        """p_A: the longest prefix of x's neighbours that fits gives its mass to x."""
        near = self.near[token].long()
        lent = p[near]
        fits = lent.double().cumsum(-1) <= self.room(p[token].double())
        moved = p.clone()
        moved[near] = lent.where(~fits, 0.0)
        moved[token] += (lent * fits).sum()
        return moved

    def masses(self, p: Float[Tensor, "V"], q: Float[Tensor, "V"], token: int) -> tuple[float, float]:
        """p_A(x) and q(x)."""
        return super().masses(self.pooled(p, token), q, token)

    def refuse(self, p: Float[Tensor, "V"], q: Float[Tensor, "V"], token: int) -> Float[Tensor, "V"]:
        """normalise(max(p_A - q, 0)); p where nothing is left, which happens only by rounding."""
        rest = (self.pooled(p, token) - q).clamp_(min=0)
        mass = rest.sum()
        return (rest / mass).where(mass != 0, p)  # NaN stays NaN


class LanternPlus(Lantern):
    """The bound as a factor on the draft's own probability."""

    Settings = LanternPlusSettings  # type: ignore[assignment]

    @classmethod
    def make(  # type: ignore[override]
        cls, setting: Setting, settings: LanternPlusSettings, rule: str
    ) -> LanternPlus:
        """The verifier of one image; by rejection, whichever rule was asked for."""
        return cls(setting.noise, setting.target.codebook, settings.k, settings.factor)

    def room(self, own: Float[Tensor, ""]) -> Float[Tensor, ""] | float:
        """(lambda - 1) p(x)."""
        return (self.bound - 1) * own
