"""Kernel distance of two sets of pictures: unbiased squared MMD of their features under a cubic kernel.

Binkowski et al., "Demystifying MMD GANs", https://arxiv.org/abs/1801.01401 (kernel inception distance); Gretton et al.,
2012, lemma 6 (the estimator). Kernel: k(x, y) = (x . y / d + 1)^3, torchmetrics' own.

    MMD^2 = mean k(x_i, x_j) + mean k(y_i, y_j) - 2 mean k(x_i, y_j)

Every mean leaves out pairs of the same prompt: pictures of one prompt are no independent draws, and a method and AR
under the same seed are paired. So an exact method is at distance 0, not a little below, and the figure stays unbiased.

The interval is that of random halves of the prompts, drawn without replacement. Half of the prompts have twice the
variance, of which half is common to all halves, so their spread is just that of the whole; with a distance near 0,
where the variance falls faster, it is wider than need be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.measure.intervals import Figure, quantiles

SUBSETS = 500


@dataclass(frozen=True)
class Features:
    """Features of a set of pictures.

    Attributes:
        values: one row for each picture.
        prompts: number of each picture's prompt; pictures of two sets with the same number are paired.
    """

    values: Float[Tensor, "N F"]
    prompts: Sequence[int]


def halves(own: Sequence[int], other: Sequence[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """All prompts of two sets, and which of them belong to each subset.

    Returns:
        The prompts (G,), and booleans (1 + SUBSETS, G): row 0 takes all, every other row half of the prompts of both
        sets, half of those of the first alone and half of those of the second alone.
    """
    prompts = np.union1d(own, other)
    kinds = 2 * np.isin(prompts, own) + np.isin(prompts, other)
    rng, chosen = np.random.default_rng((seed, len(prompts))), np.ones((1 + SUBSETS, len(prompts)), dtype=bool)
    for kind in np.unique(kinds):
        places = np.flatnonzero(kinds == kind)
        for row in chosen[1:]:
            row[rng.permutation(places)[(len(places) + 1) // 2 :]] = False
    return prompts, chosen


def distances(x: Features, y: Features, chosen: np.ndarray, prompts: np.ndarray) -> np.ndarray:
    """The estimate in every subset of `halves`; NaN where no pair is left."""
    terms = [_means(a, b, chosen, prompts) for a, b in ((x, x), (y, y), (x, y))]
    return terms[0] + terms[1] - 2 * terms[2]


def _means(a: Features, b: Features, chosen: np.ndarray, prompts: np.ndarray) -> np.ndarray:
    """Mean of the kernel over pairs of different prompts, in every subset."""
    from torchmetrics.image.kid import poly_kernel

    one, two = (torch.from_numpy(np.asarray(f.prompts)[:, None] == prompts).double() for f in (a, b))
    sums = (one.T @ poly_kernel(a.values.double(), b.values.double()) @ two).numpy()
    counts = (one.sum(0)[:, None] * two.sum(0)).numpy()
    weight = chosen.astype(np.float64)
    total, pairs = (((weight @ m) * weight).sum(1) - weight @ np.diag(m) for m in (sums, counts))
    return np.divide(total, pairs, out=np.full(len(total), np.nan), where=pairs > 0)


def kernel_distance(x: Features, y: Features) -> Figure | None:
    """The distance, in the kernel's units: 0 where both sets have the same law, about 1e-3 of it noise below 1,000.

    Returns:
        The figure; None with fewer than two prompts. It may be a little below 0.
    """
    prompts, chosen = halves(x.prompts, y.prompts)
    return _figure(distances(x, y, chosen, prompts))


def kernel_difference(x: Features, reference: Features, y: Features) -> Figure | None:
    """How much farther x is from y than the reference is, in the same subsets.

    Args:
        x: pictures of a method.
        reference: AR's, of the same prompts.
        y: pictures that both are compared with.
    """
    prompts, chosen = halves(x.prompts, y.prompts)
    return _figure(distances(x, y, chosen, prompts) - distances(reference, y, chosen, prompts))


def _figure(values: np.ndarray) -> Figure | None:
    return Figure(float(values[0]), quantiles(values[1:])) if np.isfinite(values[0]) else None
