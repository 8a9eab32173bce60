"""Scores of the target and its drafts at every cell of AR's images, in one pass over each image.

State t outputs cell t. A head with offset k drafts cell t + k from state t.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.generation import generate
from spatialspec.lab.reproduce.context import ExperimentContext
from spatialspec.methods.ar import METHOD as AR
from spatialspec.methods.hawk import HawkHeads
from spatialspec.methods.predictors import SSDPredictors
from spatialspec.request import Request

BATCH = 8  # images drawn at once


@dataclass(frozen=True)
class Reading:
    """One image and its scores under the target.

    Attributes:
        prompt: index of its prompt.
        tokens: in raster order.
        logits: of every cell, after the tokens before it, conditional stream first.
        hidden: pre-norm states of the logits.
    """

    prompt: int
    tokens: Int[Tensor, "cells"]
    logits: Float[Tensor, "G cells V"]
    hidden: Float[Tensor, "G cells d"]


def draw(context: ExperimentContext) -> list[tuple[int, ...]]:
    """Tokens of AR's image of every prompt; images in the album are reused."""
    size, jobs = str(context.grid), list(zip(context.request.prompts, context.request.seeds, strict=True))
    missing = [job for job in jobs if (*job, size) not in context.album]
    with context.bar(len(missing) * context.grid.cells) as report:
        for start in range(0, len(missing), BATCH):
            prompts, seeds = zip(*missing[start : start + BATCH], strict=True)
            request = Request(prompts, seeds, context.request.sampling, context.grid)
            drawn, _ = generate(context.target, [], AR, request, lambda step: report("ar", len(step.written)))
            context.album.update({(*job, size): tokens for job, tokens in zip(missing[start:], drawn, strict=False)})
    return [context.album[(*job, size)] for job in jobs]


def readings(context: ExperimentContext) -> Iterator[Reading]:
    """Readings of all images, one at a time to save memory."""
    for prompt, tokens in enumerate(draw(context)):
        words = context.request.prompts[prompt]
        session = context.target.session([words], [""], context.request.sampling, context.grid)
        (scores,) = session.score([State(context.grid)], [Proposal.chain(0, list(tokens[:-1]))])
        codes = torch.tensor(tokens, device=scores.logits.device)
        # copies: tensors of inference mode cannot be saved for a backward pass
        yield Reading(prompt, codes, scores.logits.clone(), scores.hidden.clone())


@torch.no_grad()
def draft_distributions(
    target: Target, drafts: HawkHeads | SSDPredictors, reading: Reading, down: bool, index: int, sampling: Sampling
) -> Float[Tensor, "cells V"]:
    """Drafts of a head from every cell: entry t is the distribution of cell t + offset.

    Args:
        target: its frozen layers are shared by drafts.
        drafts: of Hawk or SSD.
        reading: of the image.
        down: vertical head or horizontal one.
        index: of the head in its direction, from 0.
        sampling: how distributions are made.
    """
    if isinstance(drafts, HawkHeads):
        weight = (drafts.vertical if down else drafts.horizontal)[index : index + 1]
        return sampling.distribution(target.output(HawkHeads.apply_heads(weight, target.norm(reading.hidden))[0]))
    embedding = target.embed(reading.tokens)
    predictor = (drafts.vertical if down else drafts.horizontal)[index]
    guess = predictor(drafts.to_space(target, reading.hidden, embedding), embedding)
    return sampling.distribution(drafts.logits(target, guess))


def inner_cells(grid: Grid, up: int, left: int) -> Int[np.ndarray, "inner"]:
    """Cells with at least `up` rows above and `left` cells to their left, which every head drafts.

    Raises:
        BadInput: there are none.
    """
    if up >= grid.rows or left >= grid.columns:
        raise BadInput(f"a grid of {grid}", f"more than {up} rows and {left} columns", "give a larger model")
    cells = np.arange(grid.cells).reshape(grid.rows, grid.columns)
    return cells[up:, left:].ravel()
