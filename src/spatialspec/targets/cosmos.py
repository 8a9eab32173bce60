"""The image decoder of SimpleAR: NVIDIA's Cosmos tokenizer DV8x16x16, of one frame; 16 pixels a side of one code.

A code is a vector of FSQ (arXiv 2309.15505): no codebook is stored. The decoder works on videos, and pads the first
frame to the past with copies of itself. With one frame a convolution over time is its weights' sum, and attention over
time is its value: so all parts here are those of images, and the converter sums the weights. Its last frame is the
picture. Parts and sizes are those of NVIDIA's code (NVIDIA/Cosmos-Tokenizer: networks/discrete_video.py,
modules/layers3d.py, modules/patching.py; networks/configs.py has the sizes).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.io.tensors import load_module, read_shapes
from spatialspec.targets.vqgan import PixelAttention

FILE = "vq.safetensors"
TABLE = ((8, 6, 5), (8, 5, 5, 5), (7, 5, 5, 5, 5), (8, 8, 8, 6, 5), (8, 8, 8, 5, 5, 5))  # FSQ, table 1; Cosmos: last
LEVELS = {math.prod(levels): levels for levels in TABLE}  # number of codes -> values of each dimension
DEPTH = 3  # resolutions
WAVELETS = 2  # inverse transforms behind the decoder; each doubles the resolution


@dataclass(frozen=True)
class CosmosSizes:
    """Sizes of the decoder.

    Attributes:
        dimensions: of a code.
        latent: channels in front of the decoder.
        widths: channels of each resolution, the finest first.
        blocks: residual blocks of each.
    """

    dimensions: int
    latent: int
    widths: tuple[int, ...]
    blocks: int

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]], where: Path) -> CosmosSizes:
        """Sizes of a file of weights, from the shapes in it.

        Raises:
            BadInput: it is another model's.
        """
        try:
            widths = tuple(shapes[f"decoder.up.{level}.block.0.norm2.weight"][0] for level in range(DEPTH))
            blocks = sum(name.startswith("decoder.up.0.block.") and name.endswith(".norm1.bias") for name in shapes)
            latent, dimensions = shapes["post_quant_conv.weight"][:2]
            return cls(dimensions, latent, widths, blocks)
        except (KeyError, IndexError, ValueError) as error:
            got, advice = f"other tensors ({error})", "make it with spatialspec convert decoder.jit FOLDER"
            raise BadInput(got, "the image decoder of SimpleAR", advice, where) from error


def norm(channels: int) -> nn.GroupNorm:
    """The norm of every block: of all channels together."""
    return nn.GroupNorm(1, channels, eps=1e-6)


def convolutions(channels: int, out: int) -> nn.Sequential:
    """A convolution over space, then that over time."""
    return nn.Sequential(nn.Conv2d(channels, out, 3, padding=1), nn.Conv2d(out, out, 1))


class CosmosResidual(nn.Module):
    """Two pairs of convolutions behind norm and SiLU, and a way around them."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(channels), norm(out)
        self.conv1, self.conv2 = convolutions(channels, out), convolutions(out, out)
        self.nin_shortcut = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        """Same resolution out as in."""
        y = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return self.nin_shortcut(x) + y


class MomentAttention(nn.Module):
    """Attention over time, of one frame: x plus its value."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.v, self.proj_out = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Same shape out as in."""
        return x + self.proj_out(self.v(self.norm(x)))


class CosmosUpsample(nn.Module):
    """Every pixel becomes 2 x 2.

    Args:
        channels: in and out.
        moments: whether the level has twice the frames, too; of one frame only its convolution remains.
    """

    def __init__(self, channels: int, moments: bool) -> None:
        super().__init__()
        if moments:
            self.conv1 = nn.Conv2d(channels, channels, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv3 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C 2*H 2*W"]:
        """Twice the resolution."""
        if hasattr(self, "conv1"):
            x = x + self.conv1(x)
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return self.conv3(x + self.conv2(x))


class CosmosLevel(nn.Module):
    """Residual blocks of one resolution, and the way to the next."""

    def __init__(self, channels: int, out: int, blocks: int, upsample: nn.Module) -> None:
        super().__init__()
        self.block = nn.Sequential(*(CosmosResidual(channels if i == 0 else out, out) for i in range(blocks)))
        self.upsample = upsample

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D sH sW"]:
        """Twice the resolution; the same on the last level."""
        return self.upsample(self.block(x))


class CosmosDecoder(nn.Module):
    """Latents -> wavelets; level 0 is the finest, and runs last."""

    def __init__(self, sizes: CosmosSizes) -> None:
        super().__init__()
        widths, width = sizes.widths, sizes.widths[-1]
        self.conv_in = convolutions(sizes.latent, width)
        self.mid = nn.ModuleDict(
            {
                "block_1": CosmosResidual(width, width),
                "attn_1": nn.Sequential(PixelAttention(width, norm), MomentAttention(width)),
                "block_2": CosmosResidual(width, width),
            }
        )
        self.up = nn.ModuleList()
        for level, out in enumerate(widths):
            upsample = CosmosUpsample(out, level == DEPTH - 2) if level else nn.Identity()
            self.up.append(CosmosLevel(widths[min(level + 1, DEPTH - 1)], out, sizes.blocks, upsample))
        self.norm_out = norm(widths[0])
        self.conv_out = convolutions(widths[0], 3 * 8**WAVELETS)

    def forward(self, latent: Float[Tensor, "B z h w"]) -> Float[Tensor, "B p H W"]:
        """Wavelets of the pixels, at a quarter of their resolution."""
        x = self.conv_in(latent)
        for part in self.mid.children():
            x = part(x)
        for level in reversed(range(DEPTH)):
            x = self.up[level](x)
        return self.conv_out(F.silu(self.norm_out(x)))


class CosmosVQ(nn.Module):
    """Codes -> pixels.

    Args:
        sizes: of the decoder.
        codes: number of them.
    """

    patch = 2 ** (DEPTH - 1 + WAVELETS)  # pixels a side of one cell

    def __init__(self, sizes: CosmosSizes, codes: int) -> None:
        super().__init__()
        self.codes = codes
        self.post_quant_conv = nn.Conv2d(sizes.dimensions, sizes.latent, 1)
        self.decoder = CosmosDecoder(sizes)

    def decode(self, codes: Int[Tensor, "B h w"]) -> Float[Tensor, "B 3 H W"]:
        """Codes -> pixels, clamped to [-1, 1]; H = patch * h."""
        weight = self.post_quant_conv.weight
        x = self.decoder(self.post_quant_conv(vectors(codes, self.codes).permute(0, 3, 1, 2).to(weight)))
        for _ in range(WAVELETS):
            x = last_frame(x)
        return x.clamp(-1, 1)


def vectors(codes: Int[Tensor, "*N"], count: int) -> Float[Tensor, "*N d"]:
    """The vector of each of `count` codes: its digits, the first the lowest, in steps around 0."""
    levels = torch.tensor(LEVELS[count], device=codes.device)
    below = torch.cat([levels.new_ones(1), levels.cumprod(0)[:-1]])
    half = levels // 2
    return (codes[..., None] // below % levels - half) / half


def last_frame(x: Float[Tensor, "B D H W"]) -> Float[Tensor, "B c 2*H 2*W"]:
    """The later of the two frames of a Haar wavelet of time, height and width, in this order; low before high."""
    low, high = x.chunk(2, 1)
    signs = x.new_tensor([[1.0, 1.0], [1.0, -1.0]])
    y = torch.einsum("bijchw,ip,jq->bchpwq", (low - high).unflatten(1, (2, 2, -1)), signs, signs)
    return y.flatten(4, 5).flatten(2, 3)


def load_cosmos(folder: Path, codes: int) -> CosmosVQ | None:
    """Load the image decoder beside a model with so many codes, in fp32; None where there is none.

    Raises:
        BadInput: it is another model's, or damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    sizes = CosmosSizes.of(read_shapes(path), path)
    if sizes.dimensions != len(LEVELS[codes]):
        got, advice = f"codes of {sizes.dimensions} dimensions", "it is another model's image decoder"
        raise BadInput(got, f"{len(LEVELS[codes])}, for {codes:,} codes", advice, path)
    vq = load_module(lambda: CosmosVQ(sizes, codes), path, path, dtype=torch.float32)
    return vq.eval().requires_grad_(False)
