"""Convolutional VQ tokenizer of the embedded model: pixels <-> a grid of codes.

After VQ-VAE (van den Oord et al., 2017) with l2-normalised low-dimensional codes (Yu et al., ViT-VQGAN, 2021).

| variable | symbol |
|---|---|
| `latent` | z_e, encoder output on the unit sphere |
| `codebook` | e, one unit vector per code |
| `codes` | k = argmax_j <z_e, e_j> |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.sizes import CountOrNone, Size, Within


@dataclass(frozen=True)
class VQConfig:
    """Sizes of the tokenizer.

    Attributes:
        codes: number of entries of the codebook (the image vocabulary).
        code_width: dimensions of a code.
        width: channels at the resolution of the grid, a multiple of 16.
        patch: pixels a side of one cell, an even number.
        encoder_blocks: residual blocks of the encoder.
        decoder_blocks: residual blocks of the decoder at the resolution of the grid.
    """

    codes: Size = 1024
    code_width: Size = 8
    width: Size = 128
    patch: Annotated[int, Within(2, 64)] = 4
    encoder_blocks: CountOrNone = 2
    decoder_blocks: CountOrNone = 3

    def __post_init__(self) -> None:
        if self.patch % 2 or self.width % 16:
            raise BadInput(f"patch {self.patch}, width {self.width}", "an even patch, a width of a multiple of 16")


class ResidualBlock(nn.Module):
    """x + conv1x1(silu(conv3x3(silu(norm(x)))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Same shape out as in."""
        return x + self.out(F.silu(self.conv(F.silu(self.norm(x)))))


class VQTokenizer(nn.Module):
    """Encoder, codebook and decoder; works on any image whose sides are multiples of `config.patch`."""

    codebook: Tensor

    def __init__(self, config: VQConfig) -> None:
        super().__init__()
        c, p, w = config, config.patch, config.width
        self.config = c
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(p),
            nn.Conv2d(3 * p * p, w, 3, padding=1),
            *(ResidualBlock(w) for _ in range(c.encoder_blocks)),
            nn.Conv2d(w, c.code_width, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(c.code_width, w, 3, padding=1),
            *(ResidualBlock(w) for _ in range(c.decoder_blocks)),
            nn.Conv2d(w, 2 * w, 1),
            nn.PixelShuffle(2),
            ResidualBlock(w // 2),
            nn.Conv2d(w // 2, 3 * (p // 2) ** 2, 3, padding=1),
            nn.PixelShuffle(p // 2),
        )
        self.register_buffer("codebook", F.normalize(torch.randn(c.codes, c.code_width), dim=-1))

    def latent(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B h w C"]:
        """Encode pixels in [-1, 1] to unit vectors."""
        return F.normalize(self.encoder(pixels).permute(0, 2, 3, 1), dim=-1)

    def nearest(self, latent: Float[Tensor, "*B C"]) -> Int[Tensor, "*B"]:
        """Index of the code with the largest inner product."""
        return (latent @ self.codebook.T).argmax(-1)

    def encode(self, pixels: Float[Tensor, "B 3 H W"]) -> Int[Tensor, "B h w"]:
        """Pixels in [-1, 1] -> codes, h = H / patch."""
        return self.nearest(self.latent(pixels))

    def decode_latent(self, latent: Float[Tensor, "B h w C"]) -> Float[Tensor, "B 3 H W"]:
        """Unit vectors -> pixels, roughly in [-1, 1], not clamped."""
        return self.decoder(latent.permute(0, 3, 1, 2))

    def decode(self, codes: Int[Tensor, "B h w"]) -> Float[Tensor, "B 3 H W"]:
        """Codes -> pixels, clamped to [-1, 1]."""
        return self.decode_latent(self.codebook[codes]).clamp(-1, 1)
