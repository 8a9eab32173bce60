"""Rotary positions (Su et al., 2021): queries and keys are turned by where they are."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Rotation = tuple[Float[Tensor, "*N D"], Float[Tensor, "*N D"]]  # cosines and sines


def rotate(x: Float[Tensor, "*N D"], rotation: Rotation) -> Float[Tensor, "*N D"]:
    """Turn pairs (x_i, x_{i + D/2}) by the angles of `rotation`."""
    cos, sin = (part.to(x.dtype) for part in rotation)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
