"""From logits to distributions: guidance, temperature, top-k, top-p, min-p, in this order.

Logits are warped only here, for targets, drafters and metrics, so that nothing is warped twice. Guidance is
classifier-free, on logits: u + w (c - u) (Ho and Salimans, 2022). Top-p is nucleus sampling (Holtzman et al., 2020).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.arguments import number, whole

COLD = 1e-6  # below it logits / temperature overflows, and the distribution is the greedy one anyway


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

    def distribution(self, logits: Float[Tensor, "G *N V"]) -> Float[Tensor, "*N V"]:
        """Logits of the streams (conditional first) -> probabilities that sum to one, in fp32 or wider.

        If a logit is NaN or infinity, or all are -infinity, some probabilities are NaN, and `best` and `inverse_cdf`
        return no token. Where only some logits are -infinity, these tokens have probability 0.
        """
        logits = logits if logits.dtype == torch.float64 else logits.float()
        guided = logits[0] if len(logits) == 1 else torch.lerp(logits[1], logits[0], self.guidance)
        if self.greedy:
            largest, token = guided.max(-1, keepdim=True)
            return torch.zeros_like(guided).scatter_(-1, token, largest.softmax(-1))  # 1, or NaN
        if self.temperature != 1.0:
            guided = guided / self.temperature
        if 0 < self.top_k < guided.shape[-1]:
            border = guided.topk(self.top_k, dim=-1).values[..., -1:]
            guided = guided.masked_fill(guided < border, -math.inf)
        p = guided.softmax(-1)
        if self.top_p < 1.0:
            p = _nucleus(p, self.top_p)
        if self.min_p:
            p = p.masked_fill(p < self.min_p * p.amax(-1, keepdim=True), 0.0)
            p = p / p.sum(-1, keepdim=True)
        return p


def _nucleus(p: Float[Tensor, "*N V"], mass: float) -> Float[Tensor, "*N V"]:
    ordered, order = p.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    nucleus = torch.zeros_like(p).scatter_(-1, order, ordered.masked_fill(before >= mass, 0.0))
    return nucleus / nucleus.sum(-1, keepdim=True)
