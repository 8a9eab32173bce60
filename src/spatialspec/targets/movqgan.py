"""MoVQGAN's image decoder (Zheng et al., 2022, arXiv 2209.09002): codes scale and shift the norms above them.

Its parts are those that transformers has for Emu3, without the convolutions over time; names of tensors are theirs.
Sizes are read from the tensors, as the published file has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import Emu3VQVAEConfig
from transformers.models.emu3.modeling_emu3 import Emu3VQVAEMiddleBlock, Emu3VQVAESpatialNorm, Emu3VQVAEUpBlock

from spatialspec.core.errors import BadInput
from spatialspec.io.tensors import load_module, read_shapes
from spatialspec.targets.vqgan import read_levels

UP = "decoder.up_block.up"


class MoVQDecoder(nn.Module):
    """Latents and codes -> pixels; level 0 is the finest, and runs last."""

    def __init__(self, sizes: Emu3VQVAEConfig) -> None:
        super().__init__()
        width, last = (sizes.base_channels * sizes.channel_multiplier[i] for i in (-1, 0))
        self.conv_in = nn.Conv2d(sizes.latent_channels, width, 3, padding=1)
        self.middle_block = Emu3VQVAEMiddleBlock(sizes, width, quant_channels=sizes.embed_dim)
        self.up_block = Emu3VQVAEUpBlock(sizes)
        self.norm_out = Emu3VQVAESpatialNorm(sizes.embed_dim, last)
        self.conv_out = nn.Conv2d(last, 3, 3, padding=1)

    def forward(self, latent: Float[Tensor, "B z h w"], codes: Float[Tensor, "B c h w"]) -> Float[Tensor, "B 3 H W"]:
        """Pixels, roughly in [-1, 1], not clamped."""
        x = self.up_block(self.middle_block(self.conv_in(latent), codes), codes)
        return self.conv_out(F.silu(self.norm_out(x, codes)))


class MoVQ(nn.Module):
    """Codebook and decoder; works on a grid of any size.

    Args:
        sizes: as the class of transformers for Emu3 has them.
    """

    def __init__(self, sizes: Emu3VQVAEConfig) -> None:
        super().__init__()
        self.patch = 2 ** (len(sizes.channel_multiplier) - 1)  # pixels a side of one cell
        self.quantize = nn.ModuleDict({"embedding": nn.Embedding(sizes.codebook_size, sizes.embed_dim)})
        self.post_quant_conv = nn.Conv2d(sizes.embed_dim, sizes.latent_channels, 1)
        self.decoder = MoVQDecoder(sizes)

    @property
    def codebook(self) -> Float[Tensor, "V c"]:
        """Embedding of every code, always the same object."""
        return self.get_parameter("quantize.embedding.weight")

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "B h w"]) -> Float[Tensor, "B 3 H W"]:
        """Codes -> pixels, clamped to [-1, 1]; H = patch * h."""
        quantised = self.codebook[codes].permute(0, 3, 1, 2)
        return self.decoder(self.post_quant_conv(quantised), quantised).clamp(-1, 1)


def movq_sizes(shapes: Mapping[str, tuple[int, ...]], where: Path) -> Emu3VQVAEConfig:
    """Sizes of a decoder, from the shapes of its tensors.

    Raises:
        BadInput: it is another one.
    """
    try:
        widths, blocks, attending = read_levels(shapes, UP, "q_proj")
        codes, code_width = shapes["quantize.embedding.weight"]
        sizes = Emu3VQVAEConfig(
            codebook_size=codes, embed_dim=code_width, latent_channels=shapes["post_quant_conv.weight"][0],
            base_channels=1, channel_multiplier=widths, hidden_size=widths[-1], num_attention_heads=1,
            num_res_blocks=blocks - 1, attn_resolutions=attending,
        )  # fmt: skip
    except (KeyError, IndexError, ValueError) as error:
        got, advice = f"other tensors ({error})", "make it with spatialspec convert movqgan_270M.ckpt FOLDER"
        raise BadInput(got, "MoVQGAN's image decoder", advice, where) from error
    sizes._attn_implementation = "sdpa"
    return sizes


def load_movq(path: Path) -> MoVQ:
    """Load the image decoder in a file, in fp32.

    Raises:
        BadInput: no such file, another decoder, or a damaged one.
    """
    if not path.is_file():
        advice = f"make it with spatialspec convert movqgan_270M.ckpt {path.parent} from ai-forever/MoVQGAN"
        raise BadInput("no image decoder", f"{path.name} there", advice, where=path.parent)
    sizes = movq_sizes(read_shapes(path), path)
    vq = load_module(lambda: MoVQ(sizes), path, path, dtype=torch.float32)
    return vq.eval().requires_grad_(False)
