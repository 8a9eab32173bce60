"""LlamaGen's transformer (Sun et al., arXiv 2406.06525, section 2.3): Llama over a raster of image tokens.

Pre-norm RMSNorm, SwiGLU, rotary positions in two dimensions, no biases. Tensors are named as in the published
checkpoints, so published weights load as they are. The sequence is `condition | cell 0 | cell 1 ...`: the condition is
one class embedding, or a caption's T5 features through a small network.

| variable | symbol or published name |
|---|---|
| `rotations` | angle of pair i of a head's D / 2: row * base^(-4i/D) in the first half, column * ... in the second |
| `prefix_cosine` | 0: the published table holds zeros for the condition, which blanks its queries and keys |
| `cls_embedding` | class table with a last row for "no class", or the caption network with `uncond_embedding` |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.rotary import Rotation, grid_rotation
from spatialspec.core.sizes import Base, Count, Side, Size, Within
from spatialspec.targets.cache import Cache

KINDS = ("class", "text")


@dataclass(frozen=True)
class LlamaGenConfig:
    """Sizes of the transformer.

    Attributes:
        kind: what it draws from, "class" or "text" (published as c2i and t2i).
        width: model width d.
        layers: number of blocks.
        heads: attention heads; d / heads is a multiple of 4.
        mlp_width: inner width of the SwiGLU block.
        rows, columns: the grid it was trained on.
        codes: image vocabulary.
        classes: number of classes, where the kind is "class".
        prefix: most conditioning states; 1 for a class.
        caption_width: of a T5 feature, where the kind is "text".
        rotary_base: of the rotary angles.
        epsilon: of every RMSNorm.
    """

    kind: str
    width: Size
    layers: Count
    heads: Size
    mlp_width: Size
    rows: Side
    columns: Side
    codes: Size = 16384
    classes: Size = 1000
    prefix: Size = 1
    caption_width: Size = 2048
    rotary_base: Base = 10000.0
    epsilon: Annotated[float, Within(0, 1)] = 1e-5

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(f"kind {self.kind!r}", f"one of {', '.join(KINDS)}")
        if self.heads < 1 or self.width % (4 * self.heads):
            raise BadInput(f"{self.heads} heads for width {self.width}", "heads of a multiple of 4 each")


def rotate(x: Float[Tensor, "B H N D"], rotation: Rotation) -> Float[Tensor, "B H N D"]:
    """Rotate neighbours (x_2i, x_2i+1) by the angles of `rotation` = (cos, sin), in fp32 whatever the type of x."""
    cos, sin = rotation
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-1).flatten(-2).to(x.dtype)


class Attention(nn.Module):
    """Multi-head attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.wqkv = nn.Linear(width, 3 * width, bias=False)
        self.wo = nn.Linear(width, width, bias=False)

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
        q, k, v = self.wqkv(x).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, rotation), rotate(k, rotation)
        if cache is not None:
            k, v = cache.write(layer, k, v)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and n > 1)
        return self.wo(y.transpose(1, 2).reshape(b, n, d))


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, inner, bias=False)
        self.w2 = nn.Linear(inner, width, bias=False)
        self.w3 = nn.Linear(width, inner, bias=False)

    def forward(self, x: Float[Tensor, "B N d"]) -> Float[Tensor, "B N d"]:
        """Same shape out as in."""
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    """x + attention(norm(x)), then x + SwiGLU(norm(x))."""

    def __init__(self, c: LlamaGenConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(c.width, eps=c.epsilon)
        self.attention = Attention(c.width, c.heads)
        self.ffn_norm = nn.RMSNorm(c.width, eps=c.epsilon)
        self.feed_forward = FeedForward(c.width, c.mlp_width)

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
        return x + self.feed_forward(self.ffn_norm(x))


class ClassEmbedding(nn.Module):
    """One state per class; the last row of the table stands for no class."""

    def __init__(self, c: LlamaGenConfig) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(c.classes + 1, c.width)

    def forward(self, classes: Int[Tensor, "B"]) -> Float[Tensor, "B 1 d"]:
        """Class ids, `classes` for none -> prefix states."""
        return self.embedding_table(classes)[:, None]


class CaptionEmbedding(nn.Module):
    """T5 features through two layers; learned features stand for no caption."""

    uncond_embedding: Tensor

    def __init__(self, c: LlamaGenConfig) -> None:
        super().__init__()
        layers = {
            "fc1": nn.Linear(c.caption_width, c.width, bias=False),
            "fc2": nn.Linear(c.width, c.width, bias=False),
        }
        self.cap_proj = nn.ModuleDict(layers)
        self.register_buffer("uncond_embedding", torch.randn(c.prefix, c.caption_width) / c.caption_width**0.5)

    def forward(self, features: Float[Tensor, "*B P c"]) -> Float[Tensor, "*B P d"]:
        """Features -> prefix states."""
        return self.cap_proj["fc2"](F.gelu(self.cap_proj["fc1"](features), approximate="tanh"))


class LlamaGenTransformer(nn.Module):
    """Condition, embeddings, blocks and output head, with what a grid session asks for.

    Everything downstream of it works on *pre-norm* states h; `head` turns them into logits.
    """

    prefix_cosine = 0.0

    def __init__(self, config: LlamaGenConfig) -> None:
        super().__init__()
        c = config
        self.config = c
        self.cls_embedding = ClassEmbedding(c) if c.kind == "class" else CaptionEmbedding(c)
        self.tok_embeddings = nn.Embedding(c.codes, c.width)
        self.layers = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = nn.RMSNorm(c.width, eps=c.epsilon)
        self.output = nn.Linear(c.width, c.codes, bias=False)

    @property
    def code_embedding(self) -> nn.Embedding:
        """Embedding of image tokens."""
        return self.tok_embeddings

    def places(self, rows: int, columns: int) -> Float[Tensor, "slots d"]:
        """Zeros: it has no learned places."""
        return self.tok_embeddings.weight.new_zeros(1, 1).expand(rows * columns + 1, self.config.width)

    def rotations(self, rows: int, columns: int) -> tuple[Float[Tensor, "cells pairs"], Float[Tensor, "cells pairs"]]:
        """Cosines and sines for every cell, in fp32."""
        c, cells = self.config, torch.arange(rows * columns, device=self.output.weight.device)
        return grid_rotation(cells, columns, c.width // c.heads, c.rotary_base)

    def forward(
        self,
        x: Float[Tensor, "B N d"],
        rotation: Rotation,
        mask: Float[Tensor, "B 1 N S"] | None = None,
        cache: Cache | None = None,
        states: list[Tensor] | None = None,
    ) -> Float[Tensor, "B N d"]:
        """Embedded slots -> pre-norm states; causal where no mask is given. `states` takes those after every block."""
        for layer, block in enumerate(self.layers):
            x = block(x, rotation, mask, cache, layer)
            if states is not None:
                states.append(x)
        return x

    def head(self, hidden: Float[Tensor, "*B d"]) -> Float[Tensor, "*B V"]:
        """Pre-norm states -> logits."""
        return self.output(self.norm(hidden))
