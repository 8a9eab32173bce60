"""Damage that makes the judge robust: what a VQ tokenizer, a wrong token or a slight shift does to an image."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from spatialspec.targets.images import as_bytes, unit

PATCH = 4  # pixels a side of one cell of the embedded model's grid


def degrade(pixels: UInt8[np.ndarray, "B H W 3"], seed: int, move: bool = True) -> UInt8[np.ndarray, "B H W 3"]:
    """Damage images at random.

    In order, with a random strength per image: rotation, zoom and shift on white; patches lose detail, change colour
    or are replaced by a neighbour; blur; noise; brightness and contrast.

    Args:
        pixels: sides are multiples of 4.
        seed: the same seed gives the same damage.
        move: whether to rotate, zoom and shift.
    """
    rng = torch.Generator().manual_seed(seed)
    parts = [_degrade(torch.from_numpy(pixels[i : i + 64]), rng, move) for i in range(0, len(pixels), 64)]
    return torch.cat(parts).numpy() if parts else pixels


def _degrade(pixels: Tensor, rng: torch.Generator, move: bool) -> Tensor:
    x = unit(pixels.permute(0, 3, 1, 2))
    for step, share in ((_move, 0.8 * move), (_patches, 0.7), (_blur, 0.5), (_noise, 0.5), (_light, 0.5)):
        chosen = torch.rand(len(x), 1, 1, 1, generator=rng) < share
        x = torch.where(chosen, step(x, rng), x)
    return as_bytes(x).permute(0, 2, 3, 1)


def _between(low: float, high: float, x: Tensor, rng: torch.Generator) -> Float[Tensor, "B 1 1 1"]:
    return low + (high - low) * torch.rand(len(x), 1, 1, 1, generator=rng)


def _move(x: Float[Tensor, "B 3 H W"], rng: torch.Generator) -> Float[Tensor, "B 3 H W"]:
    angle, scale = _between(-0.15, 0.15, x, rng).flatten(), _between(0.85, 1.2, x, rng).flatten()
    shift = torch.rand(len(x), 2, 1, generator=rng) * 0.2 - 0.1
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(-1, 2, 2)
    grid = F.affine_grid(torch.cat([rotation * scale[:, None, None], shift], -1), list(x.shape), align_corners=False)
    return 1 + F.grid_sample(x - 1, grid, align_corners=False)  # zero padding around x - 1 is white


def _patches(x: Float[Tensor, "B 3 H W"], rng: torch.Generator) -> Float[Tensor, "B 3 H W"]:
    cells = F.avg_pool2d(x, PATCH)
    wrong = (torch.rand(len(x), 1, *cells.shape[2:], generator=rng) < _between(0, 0.08, x, rng)).float()
    dx, dy = (PATCH * int(i) for i in torch.randint(-2, 3, (2,), generator=rng))
    x = torch.where(F.interpolate(wrong, scale_factor=PATCH) > 0, x.roll((dy, dx), (2, 3)), x)
    flat = F.interpolate(F.avg_pool2d(x, PATCH), scale_factor=PATCH)
    colour = _between(0, 0.04, x, rng) * torch.randn(cells.shape, generator=rng)
    return flat + (x - flat) * _between(0.2, 1.0, x, rng) + F.interpolate(colour, scale_factor=PATCH)


def _blur(x: Float[Tensor, "B 3 H W"], rng: torch.Generator) -> Float[Tensor, "B 3 H W"]:
    once = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    twice = F.avg_pool2d(F.pad(once, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return x.lerp(torch.where(_between(0, 1, x, rng) < 0.5, once, twice), _between(0.3, 1.0, x, rng))


def _noise(x: Float[Tensor, "B 3 H W"], rng: torch.Generator) -> Float[Tensor, "B 3 H W"]:
    return x + _between(0, 0.06, x, rng) * torch.randn(x.shape, generator=rng)


def _light(x: Float[Tensor, "B 3 H W"], rng: torch.Generator) -> Float[Tensor, "B 3 H W"]:
    return (x - 0.5) * _between(0.8, 1.2, x, rng) + 0.5 + _between(-0.08, 0.08, x, rng)
