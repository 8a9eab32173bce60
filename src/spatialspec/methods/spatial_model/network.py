"""Network of the spatial draft model: a light transformer that guesses a whole window of open cells in one pass.

    c_t = W [RMSNorm(h_t) ...; RMSNorm(e_t)]        a known cell t < f: the target's states and the token's embedding
    x_i = o                                         an open cell f <= i < f + N: one learned vector, no token
    x  <- x + Attention(x; keys of c and of x), x + SwiGLU(x)     in every layer
    q_i = softmax(Output(Norm(x_i)))                through the target's final norm and output layer

`config.py` defines the attention mask and the rotations. Known cells are not refined: their keys and values are
computed once, when they are committed. h_t is one state or several (`config.features`), concatenated: of the target's
last layer and of layers below it (multi-layer features as in EAGLE-3, Li et al., 2025, arXiv 2503.01840, section 3.1).

| variable | symbol |
|---|---|
| `known` | keys and values of c in every layer |
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from spatialspec.core.interfaces import Head
from spatialspec.core.rotary import Rotation, rotate
from spatialspec.methods.network import DraftNetwork
from spatialspec.methods.spatial_model.config import SpatialModelConfig, depth
from spatialspec.methods.spatial_model.vocabulary import DraftVocabulary, output_rows


class SpatialLayer(nn.Module):
    """x + attention(norm(x)), then x + SwiGLU(norm(x)); the identity at first."""

    def __init__(self, config: SpatialModelConfig) -> None:
        super().__init__()
        d, self.heads = config.width, config.heads
        self.attention_norm = nn.RMSNorm(d, eps=1e-6)
        self.query = nn.Linear(d, d, bias=False)
        self.key_value = nn.Linear(d, 2 * d, bias=False)
        self.query_norm = nn.RMSNorm(d // self.heads, eps=1e-6)
        self.key_norm = nn.RMSNorm(d // self.heads, eps=1e-6)
        self.out = nn.Linear(d, d, bias=False)
        self.mlp_norm = nn.RMSNorm(d, eps=1e-6)
        self.gate_up = nn.Linear(d, 2 * config.expansion * d, bias=False)
        self.down = nn.Linear(config.expansion * d, d, bias=False)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)

    def keys_values(self, x: Float[Tensor, "B N d"], rotation: Rotation) -> Float[Tensor, "2 B H N D"]:
        """Keys and values of cells."""
        k, v = self.key_value(self.attention_norm(x)).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return torch.stack((rotate(self.key_norm(k), rotation), v))

    def forward(
        self,
        x: Float[Tensor, "B M d"],
        rotation: Rotation,
        known: Float[Tensor, "2 B H S D"],
        mask: Bool[Tensor, "#B 1 M seen"],
    ) -> Float[Tensor, "B M d"]:
        """One layer."""
        return self.attend(x, rotation, torch.cat((known, self.keys_values(x, rotation)), dim=-2), mask)

    def attend(
        self,
        x: Float[Tensor, "B M d"],
        rotation: Rotation,
        keys_values: Float[Tensor, "2 B H seen D"],
        mask: Bool[Tensor, "#B 1 M seen"],
    ) -> Float[Tensor, "B M d"]:
        """The same, with the keys and values of x among those given."""
        q = self.query(self.attention_norm(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = keys_values
        seen = F.scaled_dot_product_attention(rotate(self.query_norm(q), rotation), k, v, attn_mask=mask)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class SpatialNetwork(DraftNetwork):
    """The network; its outputs are pre-norm states in the target's space."""

    config_type = SpatialModelConfig
    config: SpatialModelConfig

    def __init__(self, config: SpatialModelConfig) -> None:
        super().__init__(config)
        d = config.width
        self.state_norm = nn.RMSNorm(d, eps=1e-6)
        self.token_norm = nn.RMSNorm(d, eps=1e-6)
        self.read_in = nn.Linear((config.features + 1) * d, d, bias=False)
        self.open = nn.Parameter(0.02 * torch.randn(d))
        self.vocabulary = DraftVocabulary(config.vocabulary)
        self.layers = nn.ModuleList(SpatialLayer(config) for _ in range(config.layers))

    def check_file(self, path: Path) -> None:
        """See :class:`DraftNetwork`: the covered tokens."""
        self.vocabulary.check(path)

    def check_target(self, target: Head) -> None:
        """See :class:`DraftNetwork`: hidden layers, and rows of the output layer."""
        self.config.layers_read(depth(target))
        if self.vocabulary.tokens is not None:
            output_rows(target, int(self.vocabulary.tokens.max()) + 1)

    def read(
        self, hidden: Float[Tensor, "B N joined"], embedding: Float[Tensor, "B N d"], rotation: Rotation
    ) -> Float[Tensor, "L 2 B H N D"]:
        """Keys and values of known cells in every layer.

        Args:
            hidden: the target's states in the slots that output these cells, concatenated; the last layer's come last.
            embedding: the target's embedding of their tokens.
            rotation: of these cells, (N, P) or (B, 1, N, P).
        """
        states = self.state_norm(hidden.unflatten(-1, (self.config.features, -1))).flatten(-2)
        c = self.read_in(torch.cat((states, self.token_norm(embedding)), dim=-1))
        layers = cast("list[SpatialLayer]", self.layers)
        return torch.stack([layer.keys_values(c, rotation) for layer in layers])

    def forward(
        self, known: Float[Tensor, "L 2 B H S D"], rotation: Rotation, mask: Bool[Tensor, "#B 1 M seen"]
    ) -> Float[Tensor, "B M d"]:
        """States that output open cells.

        Args:
            known: of :meth:`read`.
            rotation: of the open cells, (M, P) or (B, 1, M, P).
            mask: of :meth:`SpatialModelConfig.visible`, with a dimension for the heads.
        """
        x = self.open.expand(known.shape[2], mask.shape[-2], -1)
        for layer, slots in zip(self.layers, known, strict=True):
            x = layer(x, rotation, slots, mask)
        return x
