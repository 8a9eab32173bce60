"""Diversity: how different the pictures of one prompt are from each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def diversity(features: Float[Tensor, "N F"], prompts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean cosine distance between the pictures of a prompt, 0 to 2; a decoder that collapses has less than AR.

    Args:
        features: of pictures.
        prompts: number of each picture's prompt.

    Returns:
        The figure of every prompt that has two pictures or more, and the numbers of these prompts.
    """
    direction, which = F.normalize(features.double(), dim=-1), np.asarray(prompts)
    found, kept = [], []
    for prompt in np.unique(which):
        own = direction[np.flatnonzero(which == prompt)]
        if len(own) > 1:
            among = float((own @ own.T).sum()) - len(own)
            found.append(1 - among / (len(own) * (len(own) - 1)))
            kept.append(prompt)
    return np.array(found), np.array(kept)
