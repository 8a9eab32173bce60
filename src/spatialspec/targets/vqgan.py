"""VQGAN's image decoder (Esser et al., 2021): a grid of codes -> pixels; names of tensors are the published ones.

The encoder is left out: drawing needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


def group_norm(channels: int) -> nn.GroupNorm:
    """The norm of every block: 32 groups, epsilon 1e-6."""
    return nn.GroupNorm(32, channels, eps=1e-6)


class VQGANResidual(nn.Module):
    """Two convolutions behind norm and SiLU, and a way around them, through 1x1 where the channels change."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = group_norm(channels), group_norm(out)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        if channels != out:
            self.nin_shortcut = nn.Conv2d(channels, out, 1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        """Same resolution out as in."""
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y)))
        return y + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class PixelAttention(nn.Module):
    """x plus attention of one head among all pixels.

    Args:
        channels: in and out.
        norm: makes the norm in front of it.
    """

    def __init__(self, channels: int, norm: Callable[[int], nn.Module] = group_norm) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Same shape out as in."""
        b, c, h, w = x.shape
        y = self.norm(x)
        q, k, v = (part(y).view(b, 1, c, h * w).transpose(2, 3) for part in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(y.transpose(2, 3).reshape(b, c, h, w))


class Upsample(nn.Module):
    """Every pixel becomes 2 x 2, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C 2*H 2*W"]:
        """Twice the resolution."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class VQGANLevel(nn.Module):
    """Residual blocks of one resolution, optionally each with attention, and the upsampling to the next.

    Args:
        channels: channels of the input.
        out: channels of this level.
        count: residual blocks.
        attention: whether each block is followed by attention.
        last: whether this is the last level.
        name: name of the list of residual blocks.
    """

    def __init__(self, channels: int, out: int, count: int, attention: bool, last: bool, name: str) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, nn.ModuleList(VQGANResidual(channels if i == 0 else out, out) for i in range(count)))
        self.attn = nn.ModuleList(PixelAttention(out) for _ in range(count if attention else 0))
        self.upsample = nn.Identity() if last else Upsample(out)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D sH sW"]:
        """Twice the resolution; the same on the last level."""
        for i, block in enumerate(self.get_submodule(self.name).children()):
            x = block(x)
            if len(self.attn):
                x = self.attn[i](x)
        return self.upsample(x)


class VQGANDecoder(nn.Module):
    """Latents -> pixels.

    Args:
        latent: channels of a latent.
        widths: channels of each level, from the grid's resolution up.
        middle: blocks at the grid's resolution.
        levels: in the order of the file.
        name: of the list of levels.
        last_first: whether the file begins with the level that runs last.
    """

    def __init__(
        self,
        latent: int,
        widths: Sequence[int],
        middle: nn.Module,
        levels: Sequence[VQGANLevel],
        name: str,
        last_first: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.last_first = name, last_first
        self.conv_in = nn.Conv2d(latent, widths[0], 3, padding=1)
        self.mid = middle
        self.add_module(name, nn.ModuleList(levels))
        self.norm_out = group_norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, latent: Float[Tensor, "B z h w"]) -> Float[Tensor, "B 3 H W"]:
        """Pixels, roughly in [-1, 1], not clamped."""
        x, levels = self.mid(self.conv_in(latent)), list(self.get_submodule(self.name).children())
        for level in levels[::-1] if self.last_first else levels:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


def read_levels(shapes: Mapping[str, tuple[int, ...]], up: str, query: str) -> tuple[list[int], int, list[int]]:
    """Channels of each level, residual blocks of one, and the levels with attention, the finest first.

    Args:
        shapes: of a decoder's tensors.
        up: name of its list of levels.
        query: name of a part of its attention.

    Raises:
        KeyError: these are another network's.
    """
    count = len({name.removeprefix(f"{up}.").partition(".")[0] for name in shapes if name.startswith(f"{up}.")})
    widths = [shapes[f"{up}.{level}.block.0.conv2.weight"][0] for level in range(count)]
    blocks = sum(f"{up}.0.block.{i}.conv2.weight" in shapes for i in range(len(shapes)))
    return widths, blocks, [level for level in range(count) if f"{up}.{level}.attn.0.{query}.weight" in shapes]


class VQGAN(nn.Module):
    """Codebook and decoder; works on a grid of any size.

    Args:
        codes: entries of the codebook.
        code_width: dimensions of a code.
        latent: channels in front of the decoder.
        decoder: from latents to pixels.
    """

    def __init__(self, codes: int, code_width: int, latent: int, decoder: VQGANDecoder) -> None:
        super().__init__()
        self.quantize = nn.ModuleDict({"embedding": nn.Embedding(codes, code_width)})
        self.post_quant_conv = nn.Conv2d(code_width, latent, 1)
        self.decoder = decoder

    @property
    def codebook(self) -> Float[Tensor, "V c"]:
        """Embedding of every code, always the same object."""
        return self.get_parameter("quantize.embedding.weight")

    def decode(self, codes: Int[Tensor, "B h w"]) -> Float[Tensor, "B 3 H W"]:
        """Codes -> pixels, clamped to [-1, 1]; H = patch * h."""
        latent = self.codebook[codes].permute(0, 3, 1, 2)
        return self.decoder(self.post_quant_conv(latent)).clamp(-1, 1)
