"""Llama-style transformer over a grid of image tokens behind a prefix of conditioning states.

Queries and keys are normalised. The slot of cell t is rotated by row and column of cell t; a position embedding of cell
t + 1, which it predicts, and the caption's sketch of that cell (`sketch.py`) are added to it. Rotations count cells;
position embeddings and sketch are interpolated to the grid: one model draws many grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.core.rotary import rotate
from spatialspec.core.sizes import Base, Count, CountOrNone, Side, Size
from spatialspec.targets.grid_model import AttentionInputs, GridModel, GridSizes, split_heads
from spatialspec.targets.icons.sketch import Sketch, SketchConditioning


@dataclass(frozen=True, kw_only=True)
class GridTransformerConfig(GridSizes):
    """Sizes of the transformer.

    Attributes:
        text_vocabulary: BPE tokens.
        text_layers: layers of the bidirectional text encoder.
        sketch_width, sketch_layers: sizes of the network that sketches the caption, once per prompt.
    """

    codes: Size = 1024
    width: Size = 256
    layers: Count = 6
    heads: Size = 4
    mlp_width: Size = 768
    rows: Side = 24
    columns: Side = 24
    prefix: Size = 24
    text_vocabulary: Size = 4096
    text_layers: Count = 2
    sketch_width: Size = 336
    sketch_layers: CountOrNone = 3
    rotary_base: Base = 100.0


class IconsAttention(nn.Module):
    """Multi-head attention with normalised queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.k_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Float[Tensor, "B N d"], inputs: AttentionInputs, layer: int) -> Float[Tensor, "B N d"]:
        """Attention of layer number `layer`."""
        q, k, v = split_heads(self.qkv(x), self.heads)
        q, k = rotate(self.q_norm(q), inputs.rotation), rotate(self.k_norm(k), inputs.rotation)
        return self.out(inputs.attend(q, k, v, layer))


class IconsBlock(nn.Module):
    """x + attention(norm(x)), then x + SwiGLU(norm(x)); the identity at first."""

    def __init__(self, config: GridTransformerConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.attention = IconsAttention(config.width, config.heads)
        self.mlp_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.gate_up = nn.Linear(config.width, 2 * config.mlp_width, bias=False)
        self.down = nn.Linear(config.mlp_width, config.width, bias=False)

    def forward(self, x: Float[Tensor, "B N d"], inputs: AttentionInputs, layer: int) -> Float[Tensor, "B N d"]:
        """Layer number `layer`."""
        x = x + self.attention(self.attention_norm(x), inputs, layer)
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class GridTransformer(GridModel):
    """The base with a text encoder, position embeddings and the caption's sketch."""

    config: GridTransformerConfig

    prefix_cosine = 1.0  # the prefix is not rotated

    def __init__(self, config: GridTransformerConfig) -> None:
        super().__init__()
        c = config
        self.config = c
        self.text_embedding = nn.Embedding(c.text_vocabulary, c.width)
        self.text_place = nn.Parameter(nn.init.normal_(torch.empty(c.prefix, c.width), std=0.02))
        text_block = nn.TransformerEncoderLayer(
            c.width, c.heads, 4 * c.width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.text_blocks = nn.TransformerEncoder(text_block, c.text_layers, enable_nested_tensor=False)
        self.code_embedding = nn.Embedding(c.codes, c.width)
        self.row_place = nn.Parameter(nn.init.normal_(torch.empty(c.rows, c.width), std=0.02))
        self.column_place = nn.Parameter(nn.init.normal_(torch.empty(c.columns, c.width), std=0.02))
        blocks = [IconsBlock(c) for _ in range(c.layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.RMSNorm(c.width, eps=1e-6)
        self.output = nn.Linear(c.width, c.codes, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Embedding, nn.Linear)):
                nn.init.normal_(module.weight, std=0.02 if isinstance(module, nn.Embedding) else c.width**-0.5)
        for block in blocks:
            nn.init.zeros_(block.attention.out.weight)
            nn.init.zeros_(block.down.weight)
        self.sketch = Sketch(c.text_vocabulary, c.sketch_width, c.sketch_layers, c.rows, c.columns)
        self.told_sketch = SketchConditioning(c.width)

    def encode_text(self, tokens: Int[Tensor, "B P"]) -> Float[Tensor, "B P d"]:
        """BPE tokens, padded to `config.prefix` -> prefix states."""
        return self.text_blocks(self.text_embedding(tokens) + self.text_place)

    def rotations(self, rows: int, columns: int) -> tuple[Float[Tensor, "cells pairs"], Float[Tensor, "cells pairs"]]:
        """As in the base, in the model's type."""
        cos, sin = super().rotations(rows, columns)
        return cos.to(self.output.weight.dtype), sin.to(self.output.weight.dtype)

    def conditioning(self, text: Int[Tensor, "B P"], rows: int, columns: int) -> Float[Tensor, "B slots d"]:
        """What is added to the slot before each cell: the cell's position embedding and its sketch from `text`."""
        row, column = _interpolate(self.row_place, rows), _interpolate(self.column_place, columns)
        positions = F.pad((row[:, None] + column[None]).flatten(0, 1), (0, 0, 0, 1))
        return positions + self.told_sketch(self.sketch(text), rows, columns)

    def teacher_forced(
        self,
        text: Int[Tensor, "B P"],
        codes: Int[Tensor, "B cells"],
        rows: int,
        columns: int,
        layers: Sequence[int] = (),
    ) -> Float[Tensor, "B cells joined"]:
        """States that output cells 0 .. cells - 1, given the tokens before each: after `layers`, then pre-norm."""
        prefix, cells, added = self.encode_text(text), rows * columns, self.conditioning(text, rows, columns)
        body = self.code_embedding(codes[:, :-1]) + added[:, 1:cells]
        x = torch.cat((prefix[:, :-1], prefix[:, -1:] + added[:, :1], body), dim=1)
        cos, sin = self.rotations(rows, columns)
        zero = cos.new_zeros(prefix.shape[1], cos.shape[1])
        rotation = torch.cat((zero + 1, cos[: cells - 1])), torch.cat((zero, sin[: cells - 1]))
        states: list[Tensor] | None = [] if layers else None
        hidden = self(x, AttentionInputs((rotation[0][None, None], rotation[1][None, None])), states)
        joined = torch.cat([*(states[layer - 1] for layer in layers), hidden], dim=-1) if states else hidden
        return joined[:, prefix.shape[1] - 1 :]


def _interpolate(table: Float[Tensor, "n d"], size: int) -> Float[Tensor, "size d"]:
    if size == len(table):
        return table
    return F.interpolate(table.T[None], size=size, mode="linear", align_corners=False)[0].T
