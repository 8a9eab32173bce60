"""Attention of grouped query heads under a mask, without copies of keys and values.

Where several query heads share a head of keys and values, transformers repeats these in memory before every masked
call of scaled dot-product attention. Here the queries of a group become further rows of one head instead, and the mask
is repeated, which is smaller. The result is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import AttentionInterface

NAME = "spatialspec_grouped"


def grouped_attention(
    module: nn.Module,
    query: Float[Tensor, "B H N D"],
    key: Float[Tensor, "B G S D"],
    value: Float[Tensor, "B G S D"],
    attention_mask: Bool[Tensor, "B 1 N*H/G S"],
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Float[Tensor, "B N H D"], None]:
    """Attention as transformers calls it, with a mask from `grouped_mask`; query head h reads head h G / H."""
    rows = query.reshape(*key.shape[:2], -1, query.shape[-1])  # (B, G, H / G * N, D)
    output = F.scaled_dot_product_attention(rows, key, value, attn_mask=attention_mask, scale=scaling)
    return output.reshape(*query.shape[:3], -1).transpose(1, 2).contiguous(), None


def grouped_mask(mask: Bool[Tensor, "B 1 N S"], groups: int) -> Bool[Tensor, "B 1 rows S"]:
    """The mask of N slots for the rows of `grouped_attention`: repeated for every query head of a group."""
    return mask.repeat(1, 1, groups, 1) if groups > 1 else mask


@contextmanager
def grouped(config: Any) -> Iterator[None]:
    """Within it, the model of this configuration runs `grouped_attention` in place of its own."""
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


AttentionInterface.register(NAME, grouped_attention)
