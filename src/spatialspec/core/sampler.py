"""The last part of a pass: from the target's logits to what drafters and verifiers read.

    p = warp(logits),   score = log p + g,   the best tokens of every slot

One function for all images of a pass, on fixed shapes: what differs between images is in tensors. Its results that the
host reads are one tensor, the readout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Filters, Sampling, Warp, warped
from spatialspec.core.state import State
from spatialspec.core.step import Readout, Scores

SETTINGS = 5  # numbers of an image: guidance, temperature, top-k, top-p, min-p


@dataclass(frozen=True)
class Sampler:
    """What a pass makes of the logits of one image.

    Attributes:
        sampling: how distributions are made.
        noise: coupled noise of the image; None where no token is ranked, under rejection.
        count: best tokens of every slot that are read, at least 1.
        near: whether a tolerance is applied, which takes more figures.
    """

    sampling: Sampling
    noise: Noise | None = None
    count: int = 1
    near: bool = False

    @property
    def settings(self) -> tuple[float, ...]:
        """Numbers of its row in a batch."""
        s = self.sampling
        return s.guidance, s.temperature, s.top_k, s.top_p, s.min_p


class Form(NamedTuple):
    """What is fixed in a batch: a pass with another form is another function.

    Attributes:
        filters: steps that any image takes.
        scored: whether any image has coupled noise.
        ranked: most tokens that any reads.
        near: whether any has a tolerance.
    """

    filters: Filters
    scored: bool
    ranked: int
    near: bool

    @classmethod
    def of(cls, samplers: Sequence[Sampler], vocabulary: int) -> Form:
        """The form of a batch."""
        filters = Filters.any(sampler.sampling.filters for sampler in samplers)
        scored = any(sampler.noise is not None for sampler in samplers)
        ranked = min(max(sampler.count for sampler in samplers), vocabulary)
        return cls(filters, scored, ranked, scored and any(sampler.near for sampler in samplers))


def distributions(
    guided: Float[Tensor, "B R V"], settings: Float[Tensor, "B 5"], filters: Filters
) -> Float[Tensor, "B R V"]:
    """Guided logits -> probabilities, with the settings of every image."""
    _, temperature, top_k, top_p, min_p = settings[:, :, None, None].unbind(1)
    return warped(guided, Warp(temperature, top_k, top_p, min_p), filters)


def readout(
    p: Float[Tensor, "*B R V"],
    noise: Float[Tensor, "*B R V"],
    count: int,
    nodes: tuple[Int[Tensor, "*B R"], Int[Tensor, "*B R"]] | None,
) -> Float[Tensor, "*B R columns"]:
    """All that the host reads of every slot, in the columns of `Readout`.

    Args:
        p: distributions.
        noise: coupled noise of the cells after the slots.
        count: tokens to rank.
        nodes: for a tolerance: the slot above each slot's token, and that token; of the root anything.
    """
    score = p.log() + noise
    largest, winner = score.max(-1, keepdim=True)  # the same token as argmax, in half the time
    winner = winner.masked_fill(largest.isnan(), p.shape[-1])
    columns = [winner.int().view(torch.float32)]
    if count > 1:
        best = score.topk(count, dim=-1)
        columns += [best.indices.int().view(torch.float32), best.values.float()]
    if nodes is not None:
        slots, tokens = nodes
        above = slots[..., None].expand(*slots.shape, p.shape[-1])
        entropy = torch.special.entr(p).sum(-1, keepdim=True).gather(-2, slots[..., None])
        of_node = [part.gather(-2, above).gather(-1, tokens[..., None]) for part in (score, p)]
        behind = largest.gather(-2, slots[..., None]) - of_node[0]
        columns += [entropy.float(), behind.float(), -of_node[1].log().float()]
    return torch.cat(columns, -1)


def drawn(scores: Scores, sampler: Sampler, state: State, proposal: Proposal) -> Scores:
    """The scores of one image with what its sampler makes of them, for sessions that score images one by one."""
    p = sampler.sampling.distribution(scores.logits)
    host = None
    if sampler.noise is not None:
        cells = cells_after(state, proposal)
        nodes = None
        if sampler.near:
            above, tokens = np.zeros((2, len(cells)), np.int64)
            first = len(cells) - len(proposal)
            above[first:], tokens[first:] = np.array(proposal.parents) + 1, proposal.tokens
            nodes = torch.from_numpy(above).to(p.device), torch.from_numpy(tokens).to(p.device)
        count = min(sampler.count, p.shape[-1])
        host = Readout(readout(p, sampler.noise.gumbel(cells), count, nodes).numpy(force=True), count, count)
    return Scores(scores.logits, scores.hidden, scores.layers, p, host)


def cells_after(state: State, proposal: Proposal) -> list[int]:
    """The cell after every slot of a pass, one behind the last of the layout included."""
    return [cell + 1 for cell in (*(state.pending or (-1,)), *proposal.cells)]
