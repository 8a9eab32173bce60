"""Base of transformers over a grid of image tokens: attention with the cache, the loop over layers, the output layer.

Pre-norm RMSNorm, SwiGLU, rotary position embeddings by row and column, no biases (Llama; 2-D as in LlamaGen, arXiv
2406.06525, section 2.3). The sequence is `prefix | cell 0 | cell 1 ...`; the slot of cell t outputs cell t + 1, the
last slot of the prefix cell 0. A family adds its layers, named as in its files, and its prefix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.rotary import Rotation, grid_rotation
from spatialspec.core.sizes import Base, Count, Side, Size
from spatialspec.targets.cache import Cache


@dataclass(frozen=True, kw_only=True)
class GridSizes:
    """Sizes of every transformer over a grid.

    Attributes:
        codes: image vocabulary V.
        width: model width d.
        layers: number of hidden layers.
        heads: attention heads; d / heads is a multiple of 4.
        mlp_width: inner width of the SwiGLU layer.
        rows, columns: the grid it was trained on.
        prefix: maximum length of the prefix before cell 0.
        rotary_base: base of the rotary angles, longest wavelength over shortest.
    """

    codes: Size
    width: Size
    layers: Count
    heads: Size
    mlp_width: Size
    rows: Side
    columns: Side
    prefix: Size
    rotary_base: Base

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % (4 * self.heads):
            raise BadInput(f"{self.heads} heads for width {self.width}", "heads of a multiple of 4 each")


@dataclass(frozen=True)
class AttentionInputs:
    """Inputs of a pass that the attention of every layer uses.

    Attributes:
        rotation: cosines and sines of every slot.
        mask: of visible slots of the cache, or added to the scores: 0 where visible, else -inf; None is causal.
        cache: stores keys and values; None attends to the slots of this pass only.
    """

    rotation: Rotation
    mask: Bool[Tensor, "B 1 N S"] | Float[Tensor, "B 1 N S"] | None = None
    cache: Cache | None = None

    def attend(
        self, q: Float[Tensor, "B H N D"], k: Float[Tensor, "B H N D"], v: Float[Tensor, "B H N D"], layer: int
    ) -> Float[Tensor, "B N H*D"]:
        """Write keys and values of layer number `layer`, attend, and join the heads."""
        if self.cache is not None:
            k, v = self.cache.write(layer, k, v)
        causal = self.mask is None and q.shape[2] > 1
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask, is_causal=causal)
        return y.transpose(1, 2).flatten(2)


def split_heads(qkv: Float[Tensor, "B N joined"], heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of every head, each (B, H, N, D)."""
    q, k, v = qkv.view(*qkv.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)
    return q, k, v


class GridModel(nn.Module):
    """Embedding, blocks, final norm and output layer.

    Attributes:
        config: sizes.
        code_embedding: of image tokens.
        blocks: each called with (x, inputs, number).
        norm: final norm, applied to *pre-norm* states h, which is what sessions and drafters work on.
        output: output layer.
        prefix_cosine: cosine of the rotation of prefix slots, with sine 0: 1 is no rotation, 0 sets their queries and
            keys to 0.
    """

    config: GridSizes
    code_embedding: nn.Embedding
    blocks: nn.ModuleList
    norm: nn.RMSNorm
    output: nn.Linear
    prefix_cosine: float

    def rotations(self, rows: int, columns: int) -> tuple[Float[Tensor, "cells pairs"], Float[Tensor, "cells pairs"]]:
        """Cosines and sines for every cell, in fp32."""
        c, cells = self.config, torch.arange(rows * columns, device=self.output.weight.device)
        return grid_rotation(cells, columns, c.width // c.heads, c.rotary_base)

    def forward(
        self, x: Float[Tensor, "B N d"], inputs: AttentionInputs, states: list[Tensor] | None = None
    ) -> Float[Tensor, "B N d"]:
        """Embedded slots -> pre-norm states; the states after every layer are appended to `states`."""
        for layer, block in enumerate(self.blocks):
            x = block(x, inputs, layer)
            if states is not None:
                states.append(x)
        return x

    def head(self, hidden: Float[Tensor, "*B d"]) -> Float[Tensor, "*B V"]:
        """Pre-norm states -> logits."""
        return self.output(self.norm(hidden))
