"""Rotary position embeddings (Su et al., 2021): queries and keys are rotated by their position."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

Rotation = tuple[Float[Tensor, "... pairs"], Float[Tensor, "... pairs"]]  # cosines and sines, D = 2 pairs


def grid_rotation(cells: Int[Tensor, "*N"], columns: int, width: int, base: float) -> Rotation:
    """Cosines and sines, in fp32, of cells in raster order: half of the pairs rotate by row, the others by column.

    Args:
        cells: raster indices.
        columns: of the grid.
        width: of an attention head, a multiple of 4.
        base: of the angles, as 10000 in Su et al. (2021).
    """
    pairs = width // 4
    frequencies = base ** (-torch.arange(pairs, device=cells.device) / pairs)
    row, column = cells[..., None] // columns, cells[..., None] % columns
    angles = torch.cat((row * frequencies, column * frequencies), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Float[Tensor, "*#N D"], rotation: Rotation) -> Float[Tensor, "*N D"]:
    """Rotate the pairs (x_i, x_{i + D/2})."""
    cos, sin = (part.to(x.dtype) for part in rotation)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
