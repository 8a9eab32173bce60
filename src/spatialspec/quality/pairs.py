"""Figures of pairs of images: noise against AR's image of the same seed, diversity within a prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor


def squared_error(a: UInt8[np.ndarray, "H W 3"], b: UInt8[np.ndarray, "H W 3"]) -> float:
    """Mean squared difference of two images, 0 to 255^2."""
    return float(np.square(a.astype(np.float64) - b).mean())


def decibels(error: np.ndarray) -> np.ndarray:
    """PSNR in dB of a mean squared error; infinite where it is 0. Over images the errors are averaged, not the dB."""
    return 10 * np.log10(255.0**2 / error)


def diversity(features: Float[Tensor, "N F"], prompts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean cosine distance between the images of a prompt, 0 to 2; a decoder that collapses has less than AR.

    Args:
        features: of images.
        prompts: number of each image's prompt.

    Returns:
        The figure of every prompt that has two images or more, and the numbers of these prompts.
    """
    numbers, sizes = np.unique(np.asarray(prompts), return_counts=True)
    numbers, sizes = numbers[sizes > 1], sizes[sizes > 1]
    member = np.asarray(prompts) == numbers[:, None]
    direction = F.normalize(features.double(), dim=-1).numpy()
    among = np.square(member.astype(np.float64) @ direction).sum(1) - sizes  # sum of the cosines of all pairs
    return 1 - among / (sizes * (sizes - 1)), numbers
