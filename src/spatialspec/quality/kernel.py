"""Kernel distance of two sets of images: unbiased squared MMD of their features under a cubic kernel.

Binkowski et al., "Demystifying MMD GANs", https://arxiv.org/abs/1801.01401 (kernel inception distance); Gretton et al.,
2012, lemma 6 (the estimator). Kernel: k(x, y) = (x . y / d + 1)^3, by torchmetrics.

    MMD^2 = mean k(x_i, x_j) + mean k(y_i, y_j) - 2 mean k(x_i, y_j)

Every mean leaves out pairs of the same prompt: images of one prompt are no independent draws, and a method and AR
under the same seed are paired. So an exact method is at distance 0, not a little below, and the figure stays unbiased.

The interval is that of random halves of the prompts, drawn without replacement. Half of the prompts have twice the
variance, of which half is common to all halves: the variance between halves is that of the whole. With a distance near
0, where the variance falls faster, the interval is wider than necessary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialspec.measure.intervals import Figure, quantiles

SUBSETS = 500


@dataclass(frozen=True)
class ImageFeatures:
    """Features of a set of images.

    Attributes:
        values: one row for each image.
        prompts: number of each image's prompt; images of two sets with the same number are paired.
    """

    values: Float[Tensor, "N F"]
    prompts: Sequence[int]


def kernel_distance(x: ImageFeatures, y: ImageFeatures) -> Figure | None:
    """The distance, in the kernel's units: 0 where both sets have the same distribution, up to noise.

    Returns:
        The figure, which may be a little below 0; None with fewer than two prompts. The noise is about 1e-3 below
        1,000 images.
    """
    prompts, chosen = _halves(x.prompts, y.prompts)
    return _figure(_distances(x, y, chosen, prompts))


def kernel_difference(x: ImageFeatures, reference: ImageFeatures, y: ImageFeatures) -> Figure | None:
    """How much farther x is from y than the reference is, in the same subsets.

    Args:
        x: images of a method.
        reference: AR's, of the same prompts.
        y: images that both are compared with.
    """
    prompts, chosen = _halves(x.prompts, y.prompts)
    return _figure(_distances(x, y, chosen, prompts) - _distances(reference, y, chosen, prompts))


def _halves(one: Sequence[int], other: Sequence[int]) -> tuple[Int[np.ndarray, "G"], Bool[np.ndarray, "S G"]]:
    """All prompts of two sets, and the prompts of each subset.

    Subset 0 has all; every other one has half of the prompts of both sets, half of those of the first alone and half of
    those of the second alone.
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
    """The estimate in every subset; NaN where no pair is left."""
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
