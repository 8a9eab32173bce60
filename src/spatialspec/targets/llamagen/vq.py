"""LlamaGen's image decoder (arXiv 2406.06525, section 2.2): 16 or 8 pixels a side of one code.

The decoder of VQGAN over a codebook of 16384 unit vectors of 8 dimensions. Tensors are named as in the published
checkpoints; level 0 has the resolution of the grid and runs first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.sizes import Count, Size
from spatialspec.targets.vqgan import VQGAN, PixelAttention, VQGANDecoder, VQGANLevel, VQGANResidual

LEVELS = 7  # cells of 64 pixels a side


@dataclass(frozen=True)
class LlamaGenVQConfig:
    """Sizes of the decoder.

    Attributes:
        codes: entries of the codebook.
        code_width: dimensions of a code.
        latent: channels in front of the decoder.
        channels: channels of each level, from the image's resolution down to the grid's.
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


class LlamaGenVQ(VQGAN):
    """Codebook and decoder, with attention at the resolution of the grid only."""

    def __init__(self, config: LlamaGenVQConfig) -> None:
        widths = config.channels[::-1]
        width, last = widths[0], len(widths) - 1
        middle = nn.Sequential(VQGANResidual(width, width), PixelAttention(width), VQGANResidual(width, width))
        levels = [
            VQGANLevel(widths[max(i - 1, 0)], out, config.blocks, i == 0, i == last, "res")
            for i, out in enumerate(widths)
        ]
        decoder = VQGANDecoder(config.latent, widths, middle, levels, "conv_blocks")
        super().__init__(config.codes, config.code_width, config.latent, decoder)
        self.config = config

    @cached_property
    def codebook(self) -> Float[Tensor, "V c"]:
        """Unit vectors, one for each code; computed once, when the weights are loaded."""
        return F.normalize(self.quantize.get_parameter("embedding.weight").detach(), dim=-1)
