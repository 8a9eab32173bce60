"""Frechet distance of two sets of images, from 5,000 images each: below, its bias is larger than what it measures.

Heusel et al., https://arxiv.org/abs/1706.08500, by torchmetrics, on any features. Chong and Forsyth,
https://arxiv.org/abs/1911.07023, on the bias: between two halves of 4,000 real images we measured 181, not 0.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from spatialspec.measure.intervals import Figure

LEAST = 5000  # images in each set
SUBSETS = 8


class FeaturesOnly(nn.Identity):
    """Feature extractor for torchmetrics that gets features instead of images, `num_features` of each."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


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
    value, reach = _frechet(x, y), 1.96 * float(np.std(values, ddof=1))
    return Figure(value, (value - reach, value + reach))


def _frechet(x: Float[Tensor, "N F"], y: Float[Tensor, "M F"]) -> float:
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=FeaturesOnly(x.shape[1]))
    metric.set_dtype(torch.float64)
    metric.update(x.double(), real=True)
    metric.update(y.double(), real=False)
    return float(metric.compute())
