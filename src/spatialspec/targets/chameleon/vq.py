"""The picture decoder of Chameleon, Anole and Lumina-mGPT: a grid of codes -> pixels, 16 pixels a side of one code.

The decoder of VQGAN in Chameleon's sizes (arXiv 2405.09818, section 2.1); transformers has the encoder only. Tensors
are named as in the `vqgan.ckpt` that Meta published with Chameleon: `quantize.embedding.weight`, `post_quant_conv.*`,
`decoder.*`, where level 0 of `decoder.up` has the resolution of the picture and runs last.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import ChameleonVQVAEConfig

from spatialspec.targets.vqgan_blocks import PixelAttention, Residual, Upsample, group_norm


class Middle(nn.Module):
    """Blocks at the resolution of the grid."""

    def __init__(self, channels: int, attention: bool) -> None:
        super().__init__()
        self.block_1 = Residual(channels, channels)
        self.attn_1 = PixelAttention(channels) if attention else nn.Identity()
        self.block_2 = Residual(channels, channels)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Same shape out as in."""
        return self.block_2(self.attn_1(self.block_1(x)))


class Level(nn.Module):
    """Residual blocks of one resolution, with attention where the configuration wants it, and the step to the next."""

    def __init__(self, channels: int, out: int, blocks: int, attention: bool, last: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(Residual(channels if i == 0 else out, out) for i in range(blocks))
        self.attn = nn.ModuleList(PixelAttention(out) for _ in range(blocks if attention else 0))
        self.upsample = nn.Identity() if last else Upsample(out)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D sH sW"]:
        """Twice the resolution; the same on the last level."""
        for i, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[i](x)
        return self.upsample(x)


class Decoder(nn.Module):
    """Latents -> pixels."""

    def __init__(self, config: ChameleonVQVAEConfig) -> None:
        super().__init__()
        widths = [config.base_channels * factor for factor in config.channel_multiplier]
        attends = config.attn_type == "vanilla"
        self.conv_in = nn.Conv2d(config.latent_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1], attends)
        self.up = nn.ModuleList()
        for i, out in enumerate(widths):
            before = widths[min(i + 1, len(widths) - 1)]
            attention = attends and config.resolution // 2**i in (config.attn_resolutions or ())
            self.up.append(Level(before, out, config.num_res_blocks + 1, attention, last=i == 0))
        self.norm_out = group_norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, latent: Float[Tensor, "B z h w"]) -> Float[Tensor, "B 3 H W"]:
        """Pixels, roughly in [-1, 1], not clamped."""
        x = self.mid(self.conv_in(latent))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class ChameleonVQ(nn.Module):
    """Code book and decoder; works on a grid of any size.

    Args:
        config: sizes, `vq_config` of a Chameleon checkpoint.
    """

    def __init__(self, config: ChameleonVQVAEConfig) -> None:
        super().__init__()
        self.patch = 2 ** (len(config.channel_multiplier) - 1)  # pixels a side of one cell
        self.quantize = nn.ModuleDict({"embedding": nn.Embedding(config.num_embeddings, config.embed_dim)})
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.latent_channels, 1)
        self.decoder = Decoder(config)

    @property
    def codebook(self) -> Float[Tensor, "V c"]:
        """Embedding of every code, always the same object."""
        return self.get_parameter("quantize.embedding.weight")

    def decode(self, codes: Int[Tensor, "B h w"]) -> Float[Tensor, "B 3 H W"]:
        """Codes -> pixels, clamped to [-1, 1]; H = patch * h."""
        latent = self.codebook[codes].permute(0, 3, 1, 2)
        return self.decoder(self.post_quant_conv(latent)).clamp(-1, 1)
