"""Distances between images: kernel and Frechet distance of two sets, PSNR to AR, diversity within a prompt.

Kernel distance: unbiased squared MMD of features under a cubic kernel.
Binkowski et al., "Demystifying MMD GANs", https://arxiv.org/abs/1801.01401 (kernel inception distance); Gretton et al.,
2012, lemma 6 (the estimator). Kernel: k(x, y) = (x . y / d + 1)^3, by torchmetrics.

    MMD^2 = mean k(x_i, x_j) + mean k(y_i, y_j) - 2 mean k(x_i, y_j)

Every mean leaves out pairs of the same prompt: images of one prompt are not independent, and a method and AR under the
same seed are paired. So the distance of an exact method is 0, not slightly below, and the estimate is unbiased.

The interval comes from random halves of the prompts, drawn without replacement. A half has twice the variance of the
whole, of which half is common to all halves: the variance between halves is that of the whole. Near a distance of 0 the
variance falls faster, and the interval is wider than necessary.

Frechet distance (Heusel et al., https://arxiv.org/abs/1706.08500) needs 5,000 images in each set. Below, its bias is
larger than the distance (Chong and Forsyth, https://arxiv.org/abs/1911.07023): between two halves of 4,000 real images
we measured 181 instead of 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from spatialspec.measure.intervals import Figure, quantiles

SUBSETS = 500


@dataclass(frozen=True)
class ImageFeatures:
    """Features of a set of images.

    Attributes:
        values: features of each image.
        prompts: index of each image's prompt; images of two sets with the same index are paired.
    """

    values: Float[Tensor, "N F"]
    prompts: Sequence[int]


def kernel_distance(x: ImageFeatures, y: ImageFeatures) -> Figure | None:
    """Kernel distance, in units of the kernel; 0 up to noise if both sets have the same distribution.

    Returns:
        The figure, which may be slightly below 0; None with fewer than two prompts. The noise is about 1e-3 for less
        than 1,000 images.
    """
    prompts, chosen = _halves(x.prompts, y.prompts)
    return _figure(_distances(x, y, chosen, prompts))


def kernel_difference(x: ImageFeatures, reference: ImageFeatures, y: ImageFeatures) -> Figure | None:
    """Distance of x from y minus distance of the reference from y, in the same subsets.

    Args:
        x: images of a method.
        reference: AR's, of the same prompts.
        y: images to compare both with.
    """
    prompts, chosen = _halves(x.prompts, y.prompts)
    return _figure(_distances(x, y, chosen, prompts) - _distances(reference, y, chosen, prompts))


def _halves(one: Sequence[int], other: Sequence[int]) -> tuple[Int[np.ndarray, "G"], Bool[np.ndarray, "S G"]]:
    """All prompts of two sets, and the prompts of each subset.

    Subset 0 has all prompts. Every other subset has half of the prompts in both sets, half of those only in the first
    and half of those only in the second.
    """
    prompts = np.union1d(one, other)
    kinds = 2 * np.isin(prompts, one) + np.isin(prompts, other)
    rng, chosen = np.random.default_rng((0, len(prompts))), np.ones((1 + SUBSETS, len(prompts)), dtype=bool)
    for kind in np.unique(kinds):
        indices = np.flatnonzero(kinds == kind)
        for subset in chosen[1:]:
            subset[rng.permutation(indices)[(len(indices) + 1) // 2 :]] = False
    return prompts, chosen


def _distances(x: ImageFeatures, y: ImageFeatures, chosen: np.ndarray, prompts: np.ndarray) -> Float[np.ndarray, "S"]:
    """The estimate in every subset; NaN without any pair."""
    terms = [_means(a, b, chosen, prompts) for a, b in ((x, x), (y, y), (x, y))]
    return terms[0] + terms[1] - 2 * terms[2]


def _means(a: ImageFeatures, b: ImageFeatures, chosen: np.ndarray, prompts: np.ndarray) -> Float[np.ndarray, "S"]:
    """Mean of the kernel over pairs of different prompts, in every subset."""
    from torchmetrics.image.kid import poly_kernel

    one, two = (torch.from_numpy(np.asarray(f.prompts)[:, None] == prompts).double() for f in (a, b))
    sums = (one.T @ poly_kernel(a.values.double(), b.values.double()) @ two).numpy()
    counts = (one.sum(0)[:, None] * two.sum(0)).numpy()
    weight = chosen.astype(np.float64)
    total, pairs = (((weight @ m) * weight).sum(1) - weight @ np.diag(m) for m in (sums, counts))
    return np.divide(total, pairs, out=np.full(len(total), np.nan), where=pairs > 0)


def _figure(values: Float[np.ndarray, "S"]) -> Figure | None:
    return Figure(float(values[0]), quantiles(values[1:])) if np.isfinite(values[0]) else None


LEAST = 5000  # images in each set
FRECHET_SUBSETS = 8


class FeaturesOnly(nn.Identity):
    """Identity as feature extractor for torchmetrics: its input is features, `num_features` for each image."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


def frechet_distance(x: Float[Tensor, "N F"], y: Float[Tensor, "M F"], seed: int = 0) -> Figure | None:
    """Frechet distance between two sets of features; None with fewer than 5,000 in a set.

    The interval is the figure plus and minus 1.96 standard deviations over random halves without replacement; the bias
    of the halves has no effect on it.
    """
    if min(len(x), len(y)) < LEAST:
        return None
    rng, values = np.random.default_rng(seed), []
    for _ in range(FRECHET_SUBSETS):
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


def squared_error(a: UInt8[np.ndarray, "H W 3"], b: UInt8[np.ndarray, "H W 3"]) -> float:
    """Mean squared difference of two images, 0 to 255^2."""
    return float(np.square(a.astype(np.float64) - b).mean())


def decibels(error: np.ndarray) -> np.ndarray:
    """PSNR in dB of a mean squared error; infinite for 0. Average errors over images, not decibels."""
    return 10 * np.log10(255.0**2 / error)


def diversity(features: Float[Tensor, "N F"], prompts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean cosine distance between the images of a prompt, 0 to 2; lower than AR's if a decoder collapses.

    Args:
        features: of images.
        prompts: index of each image's prompt.

    Returns:
        The figure of every prompt with two images or more, and the indices of these prompts.
    """
    numbers, sizes = np.unique(np.asarray(prompts), return_counts=True)
    numbers, sizes = numbers[sizes > 1], sizes[sizes > 1]
    member = np.asarray(prompts) == numbers[:, None]
    direction = F.normalize(features.double(), dim=-1).numpy()
    among = np.square(member.astype(np.float64) @ direction).sum(1) - sizes  # sum of the cosines of all pairs
    return 1 - among / (sizes * (sizes - 1)), numbers
