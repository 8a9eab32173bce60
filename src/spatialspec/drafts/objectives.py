"""Objectives of drafts: one function each, the mean over all cells, in nats where it has a unit.

p is the target's distribution at a cell, q the draft's, x the true token, h the target's state, h' the draft's.

| function | formula | source |
|---|---|---|
| `cross_entropy` | -log q(x) | Medusa-1, Cai et al., 2024, section 2.2.1; Hawk, section 3.1 |
| `kl` | sum_v p(v) (log p(v) - log q(v)) | distillation, Hinton et al., 2015; DistillSpec, Zhou et al., 2024 |
| `total_variation` | 1/2 sum_v abs(p(v) - q(v)) = 1 - sum_v min(p(v), q(v)) | Leviathan et al., 2023, theorem 3.5 |
| `feature_regression` | SmoothL1(h', h), beta = 1 | EAGLE, Li et al., 2024, section 4.2; SSD, section 3 |

`total_variation` is one minus the probability that rejection accepts a draft, the quantity that decoding needs. Its
gradient vanishes where p and q do not overlap; the others do not have this problem.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.errors import BadInput

NAMES = ("cross-entropy", "kl", "total-variation", "features")


def check(name: str) -> None:
    """Refuse names that are not in NAMES."""
    if name not in NAMES:
        raise BadInput(f"objective {name!r}", f"one of {', '.join(NAMES)}")


def cross_entropy(logits: Float[Tensor, "*N V"], tokens: Int[Tensor, "*N"]) -> Float[Tensor, ""]:
    """-log q(x), from the logits of q."""
    return F.cross_entropy(logits.flatten(0, -2), tokens.flatten())


def kl(logits: Float[Tensor, "*N V"], p: Float[Tensor, "*N V"]) -> Float[Tensor, ""]:
    """Kullback-Leibler divergence of q from p, from the logits of q."""
    return kl_each(logits, p).mean()


def kl_each(logits: Float[Tensor, "*N V"], p: Float[Tensor, "*N V"]) -> Float[Tensor, "*N"]:
    """The same of every cell."""
    return (p * (p.clamp(min=1e-20).log() - logits.log_softmax(-1))).sum(-1)


def total_variation(logits: Float[Tensor, "*N V"], p: Float[Tensor, "*N V"]) -> Float[Tensor, ""]:
    """Total variation distance of p and q, from the logits of q; 0 to 1."""
    return (p - logits.softmax(-1)).abs().sum(-1).mean() / 2


def feature_regression(guess: Float[Tensor, "*N d"], true: Float[Tensor, "*N d"]) -> Float[Tensor, ""]:
    """SmoothL1 per coordinate: half the square below 1, the absolute value less a half above."""
    return F.smooth_l1_loss(guess, true)
