"""Figures with 95 % intervals: a bootstrap over prompts (Efron, 1979; all images of a prompt stay together)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
LEVEL = (0.025, 0.975)


@dataclass(frozen=True)
class Figure:
    """A figure and its 95 % interval; the interval is None where a resample leaves the figure undefined."""

    value: float
    interval: tuple[float, float] | None


def quantiles(values: np.ndarray) -> tuple[float, float] | None:
    """The interval that holds 95 % of some values; None if one is not finite."""
    if not np.isfinite(values).all():
        return None
    low, high = np.quantile(values, LEVEL)
    return float(low), float(high)


def mean_over_prompts(
    values: Sequence[float] | np.ndarray,
    prompts: Sequence[int] | np.ndarray,
    transform: Callable[[np.ndarray], np.ndarray] = lambda mean: mean,
    seed: int = 0,
) -> Figure | None:
    """Mean of a figure over images, with its interval over prompts.

    Args:
        values: one for each image, finite; of two methods, pass the differences of paired images.
        prompts: number of each image's prompt.
        transform: of the mean, in the figure and in every resample.
        seed: of the resamples; equal seeds and prompts draw equal resamples.

    Returns:
        The figure; None without images, or where it is not finite. A single prompt has no spread: low = high.
    """
    got = np.asarray(values, dtype=np.float64)
    if not len(got):
        return None
    _, group = np.unique(np.asarray(prompts), return_inverse=True)
    sums, counts = np.bincount(group, got), np.bincount(group)
    rng = np.random.default_rng((seed, len(sums)))
    weight = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), RESAMPLES)
    with np.errstate(divide="ignore"):
        value = float(transform(got.mean()))
        spread = transform((weight @ sums) / (weight @ counts))
    return Figure(value, quantiles(spread)) if np.isfinite(value) else None
