"""Llama-style transformer over a grid of image tokens behind a prefix of conditioning states.

RMSNorm, SwiGLU, normalised queries and keys, and rotary positions in two dimensions: half of a head turns with the row,
half with the column (Su et al., 2021; 2-D as in LlamaGen, Sun et al., 2024). The sequence is
`prefix | cell 0 | cell 1 ...`; the slot that holds cell t is rotated by the place of cell t and told, by a learned
embedding, the place of cell t + 1, which it predicts, and what the caption's sketch holds there (`sketch.py`).
Rotations count cells, places and sketch are relative to the picture: one model serves many grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.rotary import Rotation, grid_rotation, rotate
from spatialspec.core.sizes import Base, Count, CountOrNone, Side, Size
from spatialspec.targets.cache import Cache
from spatialspec.targets.icons.sketch import Sketch, Told


@dataclass(frozen=True)
class GridTransformerConfig:
    """Sizes of the transformer.

    Attributes:
        codes: image vocabulary.
        width: model width d.
        layers: number of blocks.
        heads: attention heads; d / heads is a multiple of 4.
        mlp_width: inner width of the SwiGLU block.
        rows, columns: the grid it was made for; others are interpolated.
        prefix: number of conditioning states in front of cell 0.
        text_vocabulary: BPE tokens.
        text_layers: blocks of the bidirectional text encoder.
        sketch_width, sketch_layers: sizes of the network that sketches the caption, once per prompt.
        rotary_base: longest wavelength over the shortest.
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

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % (4 * self.heads):
            raise BadInput(f"{self.heads} heads for width {self.width}", "heads of a multiple of 4 each")


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.k_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "B N d"],
        rotation: Rotation,
        mask: Float[Tensor, "B 1 N S"] | None,
        cache: Cache | None,
        layer: int,
    ) -> Float[Tensor, "B N d"]:
        """Attend to where `mask` is 0 and not -inf, in the cache too; causal where no mask is given."""
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = rotate(self.q_norm(q), rotation), rotate(self.k_norm(k), rotation)
        if cache is not None:
            k, v = cache.write(layer, k, v)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and n > 1)
        return self.out(y.transpose(1, 2).reshape(b, n, d))


class Block(nn.Module):
    """x + attention(norm(x)), then x + SwiGLU(norm(x))."""

    def __init__(self, config: GridTransformerConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.attention = Attention(config.width, config.heads)
        self.mlp_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.gate_up = nn.Linear(config.width, 2 * config.mlp_width, bias=False)
        self.down = nn.Linear(config.mlp_width, config.width, bias=False)

    def silence(self) -> None:
        """Start as the identity."""
        nn.init.zeros_(self.attention.out.weight)
        nn.init.zeros_(self.down.weight)

    def forward(
        self,
        x: Float[Tensor, "B N d"],
        rotation: Rotation,
        mask: Float[Tensor, "B 1 N S"] | None,
        cache: Cache | None,
        layer: int,
    ) -> Float[Tensor, "B N d"]:
        """One block of layer number `layer`."""
        x = x + self.attention(self.attention_norm(x), rotation, mask, cache, layer)
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class GridTransformer(nn.Module):
    """Text encoder, embeddings, blocks and output head.

    Everything downstream of it works on *pre-norm* states h; `head` turns them into logits.
    """

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
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = nn.RMSNorm(c.width, eps=1e-6)
        self.output = nn.Linear(c.width, c.codes, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Embedding, nn.Linear)):
                nn.init.normal_(module.weight, std=0.02 if isinstance(module, nn.Embedding) else c.width**-0.5)
        for module in self.modules():
            if isinstance(module, Block):
                module.silence()
        self.sketch = Sketch(c.text_vocabulary, c.sketch_width, c.sketch_layers, c.rows, c.columns)
        self.told_sketch = Told(c.width)

    def encode_text(self, tokens: Int[Tensor, "B P"]) -> Float[Tensor, "B P d"]:
        """BPE tokens, padded to `config.prefix` -> prefix states."""
        return self.text_blocks(self.text_embedding(tokens) + self.text_place)

    def places(self, rows: int, columns: int) -> Float[Tensor, "slots d"]:
        """Learned embedding of the place of every cell, and one row of zeros after the last."""
        row = _interpolate(self.row_place, rows)
        column = _interpolate(self.column_place, columns)
        grid = (row[:, None] + column[None]).flatten(0, 1)
        return torch.cat((grid, torch.zeros_like(grid[:1])))

    def rotations(self, rows: int, columns: int) -> tuple[Float[Tensor, "cells pairs"], Float[Tensor, "cells pairs"]]:
        """Cosines and sines for every cell, computed in fp32 whatever the model's type; the prefix is not rotated."""
        c, weight = self.config, self.output.weight
        cells = torch.arange(rows * columns, device=weight.device)
        cos, sin = grid_rotation(cells, columns, c.width // c.heads, c.rotary_base)
        return cos.to(weight.dtype), sin.to(weight.dtype)

    def forward(
        self,
        x: Float[Tensor, "B N d"],
        rotation: Rotation,
        mask: Float[Tensor, "B 1 N S"] | None = None,
        cache: Cache | None = None,
        states: list[Tensor] | None = None,
    ) -> Float[Tensor, "B N d"]:
        """Embedded slots -> pre-norm states; causal where no mask is given. `states` takes those after every block."""
        for layer, block in enumerate(self.blocks):
            x = block(x, rotation, mask, cache, layer)
            if states is not None:
                states.append(x)
        return x

    def head(self, hidden: Float[Tensor, "*B d"]) -> Float[Tensor, "*B V"]:
        """Pre-norm states -> logits."""
        return self.output(self.norm(hidden))

    def told(self, text: Int[Tensor, "B P"], rows: int, columns: int) -> Float[Tensor, "B slots d"]:
        """What the slot before each cell is told of it: its place and the sketch of `text` there."""
        return self.places(rows, columns) + self.told_sketch(self.sketch(text), rows, columns)

    def teacher_forced(
        self,
        text: Int[Tensor, "B P"],
        codes: Int[Tensor, "B cells"],
        rows: int,
        columns: int,
        blocks: Sequence[int] = (),
    ) -> Float[Tensor, "B cells joined"]:
        """Pre-norm states that output cells 0 .. cells - 1, given all tokens before each, behind those of `blocks`."""
        prefix, cells, told = self.encode_text(text), rows * columns, self.told(text, rows, columns)
        body = self.code_embedding(codes[:, :-1]) + told[:, 1:cells]
        x = torch.cat((prefix[:, :-1], prefix[:, -1:] + told[:, :1], body), dim=1)
        cos, sin = self.rotations(rows, columns)
        still = cos.new_zeros(prefix.shape[1], cos.shape[1])
        rotation = torch.cat((still + 1, cos[: cells - 1])), torch.cat((still, sin[: cells - 1]))
        states: list[Tensor] | None = [] if blocks else None
        hidden = self(x, (rotation[0][None, None], rotation[1][None, None]), states=states)
        joined = torch.cat([*(states[block - 1] for block in blocks), hidden], dim=-1) if states else hidden
        return joined[:, prefix.shape[1] - 1 :]


def _interpolate(table: Float[Tensor, "n d"], size: int) -> Float[Tensor, "size d"]:
    if size == len(table):
        return table
    return F.interpolate(table.T[None], size=size, mode="linear", align_corners=False)[0].T
