"""From logits to distributions: guidance, temperature, top-k, top-p, min-p, in this order.

Logits are warped only here, for targets, drafters and metrics, so that nothing is warped twice. Guidance is
classifier-free, on logits: u + w (c - u) (Ho and Salimans, 2022). Top-p is nucleus sampling (Holtzman et al., 2020).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.arguments import number, whole

COLD = 1e-6  # below it logits / temperature overflows, and the distribution is the greedy one anyway
SORTED = 4096  # largest vocabulary that is sorted for top-k; in larger ones the border is searched for


class Filters(NamedTuple):
    """Which steps a distribution takes besides guidance and temperature; in a batch, which any image takes."""

    greedy: bool
    top_k: bool
    top_p: bool
    min_p: bool

    @classmethod
    def any(cls, each: Iterable[Filters]) -> Filters:
        """The steps of a batch."""
        return cls(*map(any, zip(*each, strict=True)))


class Warp(NamedTuple):
    """Values of the steps: numbers, or tensors (B, 1, 1) with one for each image."""

    temperature: float | Float[Tensor, "B 1 1"]
    top_k: int | Float[Tensor, "B 1 1"]
    top_p: float | Float[Tensor, "B 1 1"]
    min_p: float | Float[Tensor, "B 1 1"]


@dataclass(frozen=True)
class Sampling:
    """How a distribution is made from logits.

    Attributes:
        guidance: weight w >= 0 of classifier-free guidance; 1 means none, and then one stream is enough.
        temperature: >= 0; 0, or less than COLD, is greedy, all mass on the best token.
        top_k: restrict to the k likeliest tokens, and those as likely as the last of them; 0 is off.
        top_p: in (0, 1]; restrict to the smallest set of likeliest tokens whose mass reaches it.
        min_p: 0 to 1; restrict to tokens at least this many times as likely as the likeliest; 0 is off.
    """

    guidance: float = 1.0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        read = {
            "guidance": number("guidance", self.guidance, 0, 100),
            "temperature": number("temperature", self.temperature, 0, 100),
            "top_k": whole("top_k", self.top_k, 0, 2**31),
            "top_p": number("top_p", self.top_p, math.ulp(0), 1, "(0, 1]"),
            "min_p": number("min_p", self.min_p, 0, 1),
        }
        for name, value in read.items():
            object.__setattr__(self, name, value)

    def facts(self) -> dict[str, float]:
        """The fields by name, for hashes and settings of stored files; `min_p`, which 0.1.0 did not have, unless 0."""
        return {name: value for name, value in asdict(self).items() if value or name != "min_p"}

    def __repr__(self) -> str:
        """The text of `facts`: names of stored files are hashes of it."""
        return f"Sampling({', '.join(f'{name}={value!r}' for name, value in self.facts().items())})"

    @property
    def greedy(self) -> bool:
        """Whether all mass is on the best token."""
        return self.temperature < COLD

    @property
    def streams(self) -> int:
        """Sequences that the target runs per image: 2 with guidance, else 1."""
        return 1 if self.guidance == 1.0 else 2

    @property
    def unfiltered(self) -> Sampling:
        """The same without top-k, top-p and min-p; the distance from AR is measured with it."""
        return replace(self, top_k=0, top_p=1.0, min_p=0.0)

    @cached_property
    def filters(self) -> Filters:
        """The steps that are not off."""
        return Filters(self.greedy, self.top_k > 0, self.top_p < 1, self.min_p > 0)

    def guided(self, streams: Float[Tensor, "G *N d"]) -> Float[Tensor, "*N d"]:
        """Guidance of the streams (conditional first): of logits, or of what logits are linear in."""
        return streams[0] if len(streams) == 1 else torch.lerp(streams[1], streams[0], self.guidance)

    def distribution(self, logits: Float[Tensor, "G *N V"]) -> Float[Tensor, "*N V"]:
        """Logits of the streams (conditional first) -> probabilities that sum to one, in fp32 or wider.

        If a logit is NaN or infinity, or all are -infinity, some probabilities are NaN, and `best` and `inverse_cdf`
        return no token. Where only some logits are -infinity, these tokens have probability 0.
        """
        logits = logits if logits.dtype == torch.float64 else logits.float()
        return warped(self.guided(logits), Warp(self.temperature, self.top_k, self.top_p, self.min_p), self.filters)


def warped(guided: Float[Tensor, "*N V"], warp: Warp, filters: Filters) -> Float[Tensor, "*N V"]:
    """Guided logits -> probabilities; an image of a batch has the bits that it has alone."""
    temperature, top_k, top_p, min_p = warp
    cold = None
    if filters.greedy:
        largest, token = guided.max(-1, keepdim=True)
        cold = torch.zeros_like(guided).scatter_(-1, token, largest.softmax(-1))  # 1, or NaN
        if not isinstance(temperature, Tensor):
            return cold
    if isinstance(temperature, Tensor):
        guided = guided / temperature.clamp(min=COLD)
    elif temperature != 1.0:
        guided = guided / temperature
    if filters.top_k:
        guided = guided.masked_fill(guided < _border(guided, top_k), -math.inf)
    p = guided.softmax(-1)
    if filters.top_p:
        p = _where(top_p, 1, _nucleus(p, top_p), p)
    if filters.min_p:
        likely = p.masked_fill(p < min_p * p.amax(-1, keepdim=True), 0.0)
        p = _where(0, min_p, likely / likely.sum(-1, keepdim=True), p)
    return p if cold is None else torch.where(torch.as_tensor(temperature < COLD), cold, p)


def _where(
    low: float | Tensor, high: float | Tensor, filtered: Float[Tensor, "*N V"], p: Float[Tensor, "*N V"]
) -> Float[Tensor, "*N V"]:
    """The filtered distribution where low < high; numbers are only passed where that is so."""
    below = low < high
    return torch.where(below, filtered, p) if isinstance(below, Tensor) else filtered


def _nucleus(p: Float[Tensor, "*N V"], mass: float | Tensor) -> Float[Tensor, "*N V"]:
    ordered, order = p.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    nucleus = torch.zeros_like(p).scatter_(-1, order, ordered.masked_fill(before >= mass, 0.0))
    return nucleus / nucleus.sum(-1, keepdim=True)


def _border(scores: Float[Tensor, "*N V"], k: int | Tensor) -> Float[Tensor, "*N 1"]:
    """The k-th largest score, the smallest one where k is 0 or more than there are."""
    vocabulary = scores.shape[-1]
    count = torch.as_tensor(k, device=scores.device)
    count = count.where((count > 0) & (count < vocabulary), torch.full_like(count, vocabulary)).long()
    if vocabulary <= SORTED:
        ordered = scores.sort(dim=-1, descending=True).values
        return ordered.gather(-1, (count - 1).expand(*scores.shape[:-1], 1))
    # Floats, read as whole numbers, are in order once the negative ones are turned around: search bit by bit.
    bits = torch.int64 if scores.dtype == torch.float64 else torch.int32
    size, turn = torch.iinfo(bits).bits, torch.iinfo(bits).max
    keys = scores.contiguous().view(bits)
    keys = keys ^ ((keys >> (size - 1)) & turn)
    border = torch.full_like(keys[..., :1], torch.iinfo(bits).min)
    for bit in reversed(range(size)):
        higher = border + (2**bit if bit < size - 1 else torch.iinfo(bits).min)  # the first step wraps to 0
        border = torch.where((keys >= higher).sum(-1, keepdim=True) >= count, higher, border)
    return (border ^ ((border >> (size - 1)) & turn)).view(scores.dtype)
