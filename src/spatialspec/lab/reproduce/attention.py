"""Attention weights of one pass over a whole image, averaged over heads and layers, for any target.

A recorder sees every call of scaled dot-product attention in the pass, with the model's queries, keys and mask. So no
target needs a second implementation.

    weights = softmax(q k^T / sqrt(D)) under the mask
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.overrides import TorchFunctionMode

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.targets.session import TargetSession
from spatialspec.targets.slots import Slots


class AttentionRecorder(TorchFunctionMode):
    """Sums the attention weights of the first sequence of the batch over layers.

    Attributes:
        total: sum over layers of the mean over heads.
        layers: number of layers seen.
    """

    def __init__(self, slots: int) -> None:
        super().__init__()
        self.slots, self.layers = slots, 0
        self.total: Float[Tensor, "N N"] | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Record attention over exactly these slots; change nothing."""
        keywords = dict(kwargs or {})
        rows, slots = (args[0].shape[-2], args[1].shape[-2]) if func is F.scaled_dot_product_attention else (0, 0)
        if slots == self.slots and rows and not rows % slots:  # more rows: grouped heads, see `targets/attention.py`
            weights = _weights(*args, **keywords)
            self.total = weights if self.total is None else self.total + weights.to(self.total.device)
            self.layers += 1
        return func(*args, **keywords)


def _weights(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Float[Tensor, "N N"]:  # fmt: skip
    """Attention weights of the first sequence in a call, mean over heads."""
    q, k = query[0].float(), key[0].float()
    k = k.repeat_interleave(len(q) // len(k), dim=0)
    score = q @ k.transpose(-1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if is_causal:
        score = score.masked_fill(~torch.ones_like(score[0], dtype=torch.bool).tril(), -math.inf)
    if attn_mask is not None:
        mask = attn_mask[0] if attn_mask.ndim == 4 else attn_mask
        score = score.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else score + mask.float()
    return score.softmax(-1).unflatten(-2, (-1, score.shape[-1])).mean((0, 1))


@dataclass(frozen=True)
class AttentionMap:
    """Attention of the slots that output each cell but the first: entry i belongs to cell i + 1.

    Attributes:
        cells: attention on the cells of the image.
        text: attention on each slot before the image, without padding.
        ends: attention on all forced tokens (row ends). The three sum to one.
        forced: number of forced tokens after each row.
    """

    cells: Float[np.ndarray, "written cells"]
    text: Float[np.ndarray, "written P"]
    ends: Float[np.ndarray, "written"]
    forced: int


@torch.no_grad()
def attention(target: Target, prompt: str, tokens: Sequence[int], sampling: Sampling, grid: Grid) -> AttentionMap:
    """Record the attention of one pass over an image, in the conditional stream.

    Raises:
        BadInput: the attention of the target cannot be recorded.
    """
    session = target.session([prompt], [""], sampling, grid)
    if not isinstance(session, TargetSession):
        raise BadInput(f"{target.name}, whose sessions have no prompt", "a session with a prompt", "not measured")
    chain, before = Proposal.chain(0, list(tokens[:-1])), len(session.images[0].prompt.prefixes[0])
    slots, (forced, _) = Slots.of(State(grid), chain, *session.ends), session.ends
    recorder = AttentionRecorder(before + len(slots))
    with recorder:
        session.score([State(grid)], [chain])
    if recorder.total is None:
        raise BadInput(
            f"{target.name}, which does not run scaled dot-product attention over the whole image",
            "scaled dot-product attention",
            'for a model of transformers call model.set_attn_implementation("sdpa")',
        )
    weights = (recorder.total / recorder.layers).double().cpu().numpy()
    rows = weights[before + slots.last]  # entry t is cell t; its last slot outputs cell t + 1
    of_cells: Bool[np.ndarray, "N"] = slots.steps == 0
    where: Int[np.ndarray, "N"] = before + np.flatnonzero(of_cells)
    on_cells = np.zeros((len(rows), grid.cells))
    on_cells[:, slots.entries[of_cells]] = rows[:, where]
    ends = rows[:, before + np.flatnonzero(~of_cells)].sum(1)
    first = int(np.flatnonzero(rows[:, :before].sum(0))[0])  # padding gets no attention
    return AttentionMap(on_cells, rows[:, first:before], ends, forced)
