"""Sketch of a caption: features of every cell from a bag of words, before the first token is drawn.

A small network runs once per prompt, not once per token. The embeddings of the caption's BPE tokens are summed; a
residual SwiGLU network maps the sum to coarse cells, and convolutions map those to features of every cell. It is
trained first, to draw the pixels of each cell from its features, and then frozen. The transformer reads the features of
the cell that a slot predicts, and of its neighbours.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

COARSE = 4  # cells a side of a coarse cell
FEATURES = 24


class SketchBlock(nn.Module):
    """x + SwiGLU(norm(x)), the identity at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.gate_up = nn.Linear(width, 6 * width, bias=False)
        self.down = nn.Linear(3 * width, width, bias=False)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Float[Tensor, "B w"]) -> Float[Tensor, "B w"]:
        """One block."""
        gate, up = self.gate_up(self.norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Sketch(nn.Module):
    """Caption -> features of `rows` x `columns` cells.

    Args:
        vocabulary: BPE tokens; token 0 pads.
        width: of the network w; a coarse cell has w / 8 channels.
        layers: residual blocks.
        rows, columns: of the sketch; other grids are interpolated from it.
        patch: pixels a side of a cell.
    """

    def __init__(self, vocabulary: int, width: int, layers: int, rows: int, columns: int, patch: int = 4) -> None:
        super().__init__()
        self.size, self.coarse = (rows, columns), (-(-rows // COARSE), -(-columns // COARSE))
        self.words = nn.Embedding(vocabulary, width)
        self.blocks = nn.Sequential(*(SketchBlock(width) for _ in range(layers)))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.spread = nn.Linear(width, self.coarse[0] * self.coarse[1] * (width // 8))
        self.mix = nn.Conv2d(width // 8, width // 3, 3, padding=1)
        self.fine = nn.Conv2d(width // 3, FEATURES * COARSE**2, 1)
        self.pixels = nn.Conv2d(FEATURES, 3 * patch**2, 1)
        self.patch = patch

    def forward(self, tokens: Int[Tensor, "B P"]) -> Float[Tensor, "B features rows columns"]:
        """Features of every cell."""
        words = self.words(tokens)
        real = (tokens > 0).unsqueeze(-1).to(words.dtype)
        words = (words * real).sum(1) / real.sum(1).clamp(min=1).sqrt()
        coarse = F.gelu(self.spread(self.norm(self.blocks(words)))).unflatten(1, (-1, *self.coarse))
        features = F.pixel_shuffle(self.fine(F.gelu(self.mix(coarse))), COARSE)
        return features[..., : self.size[0], : self.size[1]]

    def draw(self, features: Float[Tensor, "B features rows columns"]) -> Float[Tensor, "B 3 H W"]:
        """The sketch as an image, -1 to 1."""
        return F.pixel_shuffle(self.pixels(features), self.patch)


class SketchConditioning(nn.Module):
    """Features of a sketch -> what is added to the slot before each cell; zeros at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(FEATURES, width, 3, padding=1)
        for weight in self.around.parameters():
            nn.init.zeros_(weight)

    def forward(self, features: Float[Tensor, "B features H W"], rows: int, columns: int) -> Float[Tensor, "B slots d"]:
        """One vector per cell of a grid of any size, and one of zeros after the last."""
        if features.shape[-2:] != (rows, columns):
            resized = F.interpolate(features.float(), size=(rows, columns), mode="bilinear", antialias=True)
            features = resized.to(features.dtype)  # the kernel supports no bfloat16
        return F.pad(self.around(features).flatten(2).transpose(1, 2), (0, 0, 0, 1))
