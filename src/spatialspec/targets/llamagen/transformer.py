"""LlamaGen's transformer (Sun et al., arXiv 2406.06525, section 2.3): Llama over a raster of image tokens.

Tensors are named as in the published checkpoints, so published weights load as they are. The prefix is one class
embedding, or a caption's T5 features through a small network. Tar's AR-DTok (arXiv 2506.18898) has the same blocks; its
prefix is one linear map of TA-Tok's features, and positions of the sequence are embedded instead of rotated.

| variable | symbol or published name |
|---|---|
| `rotations` | angle of pair i of a head's D / 2: row * base^(-4i/D) in the first half, column * ... in the second |
| `prefix_cosine` | 0: the published table holds zeros for the condition, which blanks its queries and keys |
| `cls_embedding` | class table with a last row for "no class", or the caption network with `uncond_embedding` |
| `clip_proj`, `abs_pe` | of AR-DTok: the map of features, and one vector for each position of the sequence |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.rotary import Rotation
from spatialspec.core.sizes import Base, Size, Within
from spatialspec.targets.grid_model import AttentionInputs, GridModel, GridSizes, split_heads

KINDS = ("class", "text", "codes")


@dataclass(frozen=True, kw_only=True)
class LlamaGenConfig(GridSizes):
    """Sizes of the transformer.

    Attributes:
        kind: what it draws from, "class" or "text" (published as c2i and t2i), or "codes" (AR-DTok).
        prefix: 1 for a class.
        classes: number of classes, where the kind is "class".
        caption_width: of a feature of T5 or of TA-Tok, where the kind is "text" or "codes".
        epsilon: of every RMSNorm.
    """

    kind: str
    codes: Size = 16384
    classes: Size = 1000
    prefix: Size = 1
    caption_width: Size = 2048
    rotary_base: Base = 10000.0
    epsilon: Annotated[float, Within(0, 1)] = 1e-5

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(f"kind {self.kind!r}", f"one of {', '.join(KINDS)}")
        super().__post_init__()


def rotate_neighbours(x: Float[Tensor, "B H N D"], rotation: Rotation) -> Float[Tensor, "B H N D"]:
    """Rotate neighbours (x_2i, x_2i+1) by the angles of `rotation` = (cos, sin), in fp32 whatever the type of x."""
    cos, sin = rotation
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-1).flatten(-2).to(x.dtype)


class LlamaGenAttention(nn.Module):
    """Multi-head attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.wqkv = nn.Linear(width, 3 * width, bias=False)
        self.wo = nn.Linear(width, width, bias=False)

    def forward(self, x: Float[Tensor, "B N d"], inputs: AttentionInputs, layer: int) -> Float[Tensor, "B N d"]:
        """Attention of layer number `layer`."""
        q, k, v = split_heads(self.wqkv(x), self.heads)
        q, k = rotate_neighbours(q, inputs.rotation), rotate_neighbours(k, inputs.rotation)
        return self.wo(inputs.attend(q, k, v, layer))


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


class LlamaGenBlock(nn.Module):
    """x + attention(norm(x)), then x + SwiGLU(norm(x))."""

    def __init__(self, c: LlamaGenConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(c.width, eps=c.epsilon)
        self.attention = LlamaGenAttention(c.width, c.heads)
        self.ffn_norm = nn.RMSNorm(c.width, eps=c.epsilon)
        self.feed_forward = FeedForward(c.width, c.mlp_width)

    def forward(self, x: Float[Tensor, "B N d"], inputs: AttentionInputs, layer: int) -> Float[Tensor, "B N d"]:
        """Layer number `layer`."""
        x = x + self.attention(self.attention_norm(x), inputs, layer)
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


class LlamaGenTransformer(GridModel):
    """The base with class or caption embedding, and the names of published tensors."""

    config: LlamaGenConfig
    prefix_cosine = 0.0

    def __init__(self, config: LlamaGenConfig) -> None:
        super().__init__()
        c = config
        self.config = c
        if c.kind == "codes":
            self.prefix_cosine = 1.0
            self.clip_proj = nn.Linear(c.caption_width, c.width)
            self.abs_pe = nn.Parameter(0.02 * torch.randn(1, c.prefix + c.rows * c.columns - 1, c.width))
        else:
            self.cls_embedding = ClassEmbedding(c) if c.kind == "class" else CaptionEmbedding(c)
        self.tok_embeddings = nn.Embedding(c.codes, c.width)
        self.layers = nn.ModuleList(LlamaGenBlock(c) for _ in range(c.layers))
        self.norm = nn.RMSNorm(c.width, eps=c.epsilon)
        self.output = nn.Linear(c.width, c.codes, bias=False)

    def rotations(self, rows: int, columns: int) -> Rotation:
        """See :class:`GridModel`. An AR-DTok rotates nothing."""
        cos, sin = super().rotations(rows, columns)
        return (cos * 0 + 1, sin * 0) if self.config.kind == "codes" else (cos, sin)

    @property
    def code_embedding(self) -> nn.Embedding:  # type: ignore[override]
        """Embedding of image tokens."""
        return self.tok_embeddings

    @property
    def blocks(self) -> nn.ModuleList:  # type: ignore[override]
        """Blocks."""
        return self.layers
