"""Counts of images against their distribution p: Pearson's chi-square over pools, and total variation.

    X^2 = sum over pools of (count - expected)^2 / expected,   p = P(chi-square with pools - 1 degrees of freedom > X^2)
    TV  = 1/2 sum over images of |count / N - p|

Rare images are pooled with their neighbours in the enumeration, which share their first tokens, until a pool expects
`LEAST` images. With pools so small the tail of chi-square is too thin: see `CAUTION`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from spatialspec.core.errors import BadInput

LEAST = 10.0  # expected images of a pool
FEWEST = 10  # pools
CAUTION = 300.0  # bound on true probability / p, for p down to 1e-13: 225 for 10 pools of 10, less for more


@dataclass(frozen=True)
class Fit:
    """Result of Pearson's test.

    Attributes:
        chi_square: Pearson's statistic; infinite if an image of probability 0 was drawn.
        freedom: degrees of freedom.
        p: upper tail of chi-square.
    """

    chi_square: float
    freedom: int
    p: float


def fit(counts: Int[np.ndarray, "images"], p: Float[np.ndarray, "images"]) -> Fit:
    """Pearson's test of counts against probabilities p, over pools of neighbours.

    Raises:
        BadInput: too few images for the pools.
    """
    expected = p * counts.sum()
    ends = _ends(expected)
    if len(ends) < FEWEST:
        raise BadInput(f"{counts.sum()} images, enough for {len(ends)} pools", f"enough for {FEWEST}")
    e, c = (np.diff(np.cumsum(x)[ends], prepend=0.0) for x in (expected, counts))
    impossible = bool(counts[expected == 0].any())
    statistic = math.inf if impossible else float(((c - e) ** 2 / e).sum())
    return Fit(statistic, len(ends) - 1, survival(statistic, len(ends) - 1))


def _ends(expected: Float[np.ndarray, "images"]) -> list[int]:
    """Index of the last image of each pool; an incomplete pool at the end joins the one before it."""
    ends: list[int] = []
    total = 0.0
    for image, count in enumerate(expected.tolist()):
        total += count
        if total >= LEAST:
            ends.append(image)
            total = 0.0
    return [*ends[:-1], len(expected) - 1]


def survival(statistic: float, freedom: int) -> float:
    """P(chi-square with `freedom` degrees of freedom > statistic)."""
    if math.isinf(statistic):
        return 0.0
    a, x = torch.tensor([freedom / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(a, x))


def variation(counts: Int[np.ndarray, "images"], p: Float[np.ndarray, "images"]) -> tuple[float, float]:
    """Total variation distance from p, and its mean under sampling noise alone.

    The mean absolute deviation of a binomial count is De Moivre's: 2 m C(N, m) p^m (1 - p)^(N - m + 1), m - 1 the
    whole part of N p.
    """
    n, share = int(counts.sum()), torch.from_numpy(p)
    m = (n * share).floor().clamp(max=n - 1) + 1
    ways = math.lgamma(n + 1) - torch.lgamma(m + 1) - torch.lgamma(n - m + 1)
    deviation = 2 * (m.log() + ways + torch.xlogy(m, share) + torch.xlogy(n - m + 1, 1 - share)).exp()
    return float(np.abs(counts / n - p).sum() / 2), float(deviation.sum() / n / 2)
