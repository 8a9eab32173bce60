"""Frechet distance of two sets of pictures, from 5,000 pictures each: below, its bias is larger than what it measures.

Heusel et al., https://arxiv.org/abs/1706.08500, by torchmetrics, on any features. Chong and Forsyth,
https://arxiv.org/abs/1911.07023, on the bias: between two halves of 4,000 real pictures we found 181, not 0.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from spatialspec.measure.intervals import Figure

LEAST = 5000  # pictures in each set
SUBSETS = 8


class _Given(nn.Module):
    """Takes features for pictures."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Float[Tensor, "N F"]) -> Float[Tensor, "N F"]:
        """The features."""
        return features


def frechet_distance(x: Float[Tensor, "N F"], y: Float[Tensor, "M F"], seed: int = 0) -> Figure | None:
    """The distance between two sets of features.

    The interval is the figure plus and minus 1.96 standard deviations of random halves without replacement; the bias
    of the halves does not enter it. None with fewer than 5,000 in a set.
    """
    if min(len(x), len(y)) < LEAST:
        return None
    rng, values = np.random.default_rng(seed), []
    for _ in range(SUBSETS):
        parts = [f[torch.from_numpy(rng.permutation(len(f))[: len(f) // 2])] for f in (x, y)]
        values.append(_frechet(*parts))
    value, spread = _frechet(x, y), 1.96 * float(np.std(values, ddof=1))
    return Figure(value, (value - spread, value + spread))


def _frechet(x: Float[Tensor, "N F"], y: Float[Tensor, "M F"]) -> float:
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_Given(x.shape[1]))
    metric.set_dtype(torch.float64)
    metric.update(x.double(), real=True)
    metric.update(y.double(), real=False)
    return float(metric.compute())
