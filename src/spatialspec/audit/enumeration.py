"""Probabilities of all images of a toy, by enumeration, from logits alone.

A second implementation of guidance, temperature, top-k and top-p, in numpy and float64, so that a mistake in
`core.sampling` is not repeated in the reference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from spatialspec.core.sampling import Sampling


def distribution(logits: Float[np.ndarray, "G *N V"], sampling: Sampling) -> Float[np.ndarray, "*N V"]:
    """Logits (conditional stream first) -> probabilities: guidance, temperature, top-k, top-p, min-p in turn."""
    conditional, unconditional = logits[0].astype(np.float64), logits[-1].astype(np.float64)
    guided = unconditional + sampling.guidance * (conditional - unconditional)
    if sampling.temperature == 0:
        return np.eye(guided.shape[-1])[guided.argmax(-1)]
    p = np.exp((guided - guided.max(-1, keepdims=True)) / sampling.temperature)
    ranked = -np.sort(-p, axis=-1)
    if 0 < sampling.top_k < p.shape[-1]:
        p = np.where(p < ranked[..., sampling.top_k - 1, None], 0, p)
    p /= p.sum(-1, keepdims=True)
    if sampling.top_p < 1:
        likelier = (p[..., None, :] * (p[..., None, :] > p[..., :, None])).sum(-1)  # mass before each token
        p = np.where(likelier < sampling.top_p, p, 0)
    p = np.where(p < sampling.min_p * p.max(-1, keepdims=True), 0, p)
    p /= p.sum(-1, keepdims=True)
    return p


def joint_distribution(conditionals: Sequence[Float[np.ndarray, "_ V"]]) -> Float[np.ndarray, "images"]:
    """Probabilities of all V^cells images from the distribution of every cell after each of its V^cell prefixes.

    An image's index has its tokens as digits, cell 0 first.
    """
    images = np.ones(1)
    for p in conditionals:
        images = (images[:, None] * p).ravel()
    return images / images.sum()
