"""LlamaGen's picture decoder (arXiv 2406.06525, section 2.2): a grid of codes -> pixels, 16 or 8 pixels a side of one.

The decoder of VQGAN over a codebook of 16384 unit vectors of 8 dimensions. Tensors are named as in the published
checkpoints; level 0 has the resolution of the grid and runs first. The encoder is left out: drawing needs none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.sizes import Count, Size
from spatialspec.targets.vqgan_blocks import PixelAttention, Residual, Upsample, group_norm

LEVELS = 7  # cells of 64 pixels a side


@dataclass(frozen=True)
class LlamaGenVQConfig:
    """Sizes of the decoder.

    Attributes:
        codes: entries of the codebook.
        code_width: dimensions of a code.
        latent: channels in front of the decoder.
        channels: channels of each level, from the picture's resolution down to the grid's.
        blocks: residual blocks of a level.
    """

    codes: Size = 16384
    code_width: Size = 8
    latent: Size = 256
    channels: tuple[Size, ...] = (128, 128, 256, 256, 512)
    blocks: Count = 3

    def __post_init__(self) -> None:
        if len(self.channels) > LEVELS:
            raise BadInput(f"channels of {len(self.channels)} levels", f"at most {LEVELS}")

    @property
    def patch(self) -> int:
        """Pixels a side of one cell."""
        return 2 ** (len(self.channels) - 1)


class Level(nn.Module):
    """Residual blocks of one resolution, each with attention on the first level, and the step to the next."""

    def __init__(self, channels: int, out: int, blocks: int, first: bool, last: bool) -> None:
        super().__init__()
        self.res = nn.ModuleList(Residual(channels if i == 0 else out, out) for i in range(blocks))
        self.attn = nn.ModuleList(PixelAttention(out) for _ in range(blocks if first else 0))
        if not last:
            self.upsample = Upsample(out)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D sH sW"]:
        """Twice the resolution; the same on the last level."""
        for i, block in enumerate(self.res):
            x = block(x)
            if len(self.attn):
                x = self.attn[i](x)
        return self.upsample(x) if hasattr(self, "upsample") else x


class Decoder(nn.Module):
    """Latents -> pixels."""

    def __init__(self, config: LlamaGenVQConfig) -> None:
        super().__init__()
        widths = config.channels[::-1]
        width, final = widths[0], len(widths) - 1
        self.conv_in = nn.Conv2d(config.latent, width, 3, padding=1)
        self.mid = nn.ModuleList([Residual(width, width), PixelAttention(width), Residual(width, width)])
        self.conv_blocks = nn.ModuleList(
            Level(widths[max(i - 1, 0)], out, config.blocks, first=i == 0, last=i == final)
            for i, out in enumerate(widths)
        )
        self.norm_out = group_norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, latent: Float[Tensor, "B z h w"]) -> Float[Tensor, "B 3 H W"]:
        """Pixels, roughly in [-1, 1], not clamped."""
        x = self.conv_in(latent)
        for part in (*self.mid, *self.conv_blocks):
            x = part(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class LlamaGenVQ(nn.Module):
    """Code book and decoder; works on a grid of any size."""

    def __init__(self, config: LlamaGenVQConfig) -> None:
        super().__init__()
        self.config = config
        self.quantize = nn.ModuleDict({"embedding": nn.Embedding(config.codes, config.code_width)})
        self.post_quant_conv = nn.Conv2d(config.code_width, config.latent, 1)
        self.decoder = Decoder(config)

    @cached_property
    def codebook(self) -> Float[Tensor, "V c"]:
        """Unit vectors, one for each code; made once, when the weights are in place."""
        return F.normalize(self.quantize.get_parameter("embedding.weight").detach(), dim=-1)

    def decode(self, codes: Int[Tensor, "B h w"]) -> Float[Tensor, "B 3 H W"]:
        """Codes -> pixels, clamped to [-1, 1]; H = patch * h."""
        latent = self.codebook[codes].permute(0, 3, 1, 2)
        return self.decoder(self.post_quant_conv(latent)).clamp(-1, 1)
