"""The image decoder of Chameleon, Anole and Lumina-mGPT: 16 pixels a side of one code.

The decoder of VQGAN in Chameleon's sizes (arXiv 2405.09818, section 2.1); transformers has the encoder only. Tensors
are named as in the `vqgan.ckpt` that Meta published with Chameleon: `quantize.embedding.weight`, `post_quant_conv.*`,
`decoder.*`, where level 0 of `decoder.up` has the resolution of the image and runs last.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn
from transformers import ChameleonVQVAEConfig

from spatialspec.targets.vqgan import VQGAN, PixelAttention, VQGANDecoder, VQGANLevel, VQGANResidual


class ChameleonVQ(VQGAN):
    """Codebook and decoder.

    Args:
        config: sizes, `vq_config` of a Chameleon checkpoint; it decides where attention is used.
    """

    def __init__(self, config: ChameleonVQVAEConfig) -> None:
        widths = [config.base_channels * factor for factor in config.channel_multiplier]
        width, attends = widths[-1], config.attn_type == "vanilla"
        middle: OrderedDict[str, nn.Module] = OrderedDict(
            block_1=VQGANResidual(width, width),
            attn_1=PixelAttention(width) if attends else nn.Identity(),
            block_2=VQGANResidual(width, width),
        )
        levels = []
        for i, out in enumerate(widths):
            before = widths[min(i + 1, len(widths) - 1)]
            attention = attends and config.resolution // 2**i in (config.attn_resolutions or ())
            levels.append(VQGANLevel(before, out, config.num_res_blocks + 1, attention, i == 0, "block"))
        latent = config.latent_channels
        decoder = VQGANDecoder(latent, widths[::-1], nn.Sequential(middle), levels, "up", last_first=True)
        super().__init__(config.num_embeddings, config.embed_dim, latent, decoder)
        self.patch = 2 ** (len(widths) - 1)  # pixels a side of one cell
        self.resolution = config.resolution  # pixels a side of the images that it was trained on
