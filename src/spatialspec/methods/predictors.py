"""SSD's predictors of future states, and the paper's ablation of their inputs and outputs.

| `space` | `token` | the paper's name | a predicted vector becomes logits |
|---|---|---|---|
| pre-norm | yes | h_pre + e -> h_pre, the method | through the target's final norm and output layer |
| pre-norm | no | h_pre -> h_pre | in the same way |
| post-norm | yes | h_post + e -> h_post | through the output layer |
| post-norm | no | h_post -> h_post | in the same way |
| embedding | no | e -> e | minus half the squared distance from every token's embedding (the paper is silent) |
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Head
from spatialspec.core.sizes import CountOrNone, Size

SPACES = ("pre-norm", "post-norm", "embedding")


@dataclass(frozen=True)
class SSDConfig:
    """Sizes of the predictors, and what they read.

    Attributes:
        width: of the target.
        horizontal: predictors of offsets +1 .. +k_h.
        vertical: predictors of offsets +W .. +k_v W.
        space: one of SPACES, in which vectors are read and predicted.
        token: whether the token's embedding is read besides the state.
    """

    width: Size
    horizontal: CountOrNone = 5
    vertical: CountOrNone = 5
    space: str = "pre-norm"
    token: bool = True

    def __post_init__(self) -> None:
        if self.space not in SPACES or (self.space == "embedding" and self.token):
            raise BadInput(
                f"space {self.space!r} and token {self.token}", f"one of {', '.join(SPACES)}, the last without token"
            )


class Predictor(nn.Module):
    """[h; e] -> state at an offset: u + W2 (SiLU(W1 n) * W3 n), u = W0 [h; e], n = RMSNorm(u)."""

    def __init__(self, width: int, token: bool = True) -> None:
        super().__init__()
        self.token = token
        self.w0 = nn.Linear((1 + token) * width, width, bias=False)
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.w1 = nn.Linear(width, 2 * width, bias=False)
        self.w3 = nn.Linear(width, 2 * width, bias=False)
        self.w2 = nn.Linear(2 * width, width, bias=False)

    def forward(self, state: Float[Tensor, "*N d"], embedding: Float[Tensor, "*#N d"]) -> Float[Tensor, "*N d"]:
        """Predict the state at this predictor's offset."""
        u = self.w0(torch.cat((state, embedding.expand_as(state)), dim=-1) if self.token else state)
        n = self.norm(u)
        return u + self.w2(F.silu(self.w1(n)) * self.w3(n))


class SSDPredictors(nn.Module):
    """One independent predictor per offset and direction."""

    def __init__(self, config: SSDConfig) -> None:
        super().__init__()
        self.config = config
        self.horizontal = nn.ModuleList(Predictor(config.width, config.token) for _ in range(config.horizontal))
        self.vertical = nn.ModuleList(Predictor(config.width, config.token) for _ in range(config.vertical))

    def to_space(
        self, target: Head, hidden: Float[Tensor, "*N d"], embedding: Float[Tensor, "*#N d"]
    ) -> Float[Tensor, "*N d"]:
        """What the predictors read at a cell, in `config.space`: from its pre-norm state and its token's embedding."""
        if self.config.space == "embedding":
            return embedding.expand_as(hidden)
        return target.norm(hidden) if self.config.space == "post-norm" else hidden

    def logits(self, target: Head, predicted: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Logits of image tokens from predicted vectors."""
        if self.config.space == "embedding":
            tokens: Int[Tensor, "V"] = torch.arange(target.vocabulary, device=predicted.device)
            table = target.embed(tokens)
            return predicted @ table.T - table.square().sum(-1) / 2
        return target.output(predicted if self.config.space == "post-norm" else target.norm(predicted))
