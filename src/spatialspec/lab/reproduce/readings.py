"""What the target and its drafts say of every cell of images that AR has drawn, in one pass over each.

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
    """One image, read by the target.

    Attributes:
        prompt: its number.
        tokens: in raster order.
        logits: of every cell, given the tokens before it, conditional stream first.
        hidden: pre-norm states that they come from.
    """

    prompt: int
    tokens: Int[Tensor, "cells"]
    logits: Float[Tensor, "G cells V"]
    hidden: Float[Tensor, "G cells d"]


def draw(context: ExperimentContext) -> list[tuple[int, ...]]:
    """Tokens of AR's image of every prompt; what the album holds is not drawn again."""
    size, jobs = str(context.grid), list(zip(context.request.prompts, context.request.seeds, strict=True))
    missing = [job for job in jobs if (*job, size) not in context.album]
    with context.bar(len(missing) * context.grid.cells) as report:
        for start in range(0, len(missing), BATCH):
            prompts, seeds = zip(*missing[start : start + BATCH], strict=True)
            asked = Request(prompts, seeds, context.request.sampling, context.grid)
            drawn, _ = generate(context.target, [], AR, asked, lambda step: report("ar", len(step.written)))
            context.album.update({(*job, size): tokens for job, tokens in zip(missing[start:], drawn, strict=False)})
    return [context.album[(*job, size)] for job in jobs]


def readings(context: ExperimentContext) -> Iterator[Reading]:
    """Every image, one after the other, so that no two are held at once."""
    for prompt, tokens in enumerate(draw(context)):
        words = context.request.prompts[prompt]
        session = context.target.session([words], [""], context.request.sampling, context.grid)
        (scores,) = session.score([State(context.grid)], [Proposal.chain(0, list(tokens[:-1]))])
        own = torch.tensor(tokens, device=scores.logits.device)
        # copies: what an inference mode has made cannot be saved for a backward pass
        yield Reading(prompt, own, scores.logits.clone(), scores.hidden.clone())


@torch.no_grad()
def draft_distributions(
    target: Target, drafts: HawkHeads | SSDPredictors, reading: Reading, down: bool, index: int, sampling: Sampling
) -> Float[Tensor, "cells V"]:
    """What a head drafts from every cell: row t is the distribution of cell t + offset.

    Args:
        target: frozen parts that drafts share.
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
    """Cells with at least `up` rows above them and `left` cells to their left, so that every head speaks of them.

    Raises:
        BadInput: there are none.
    """
    if up >= grid.rows or left >= grid.columns:
        raise BadInput(f"a grid of {grid}", f"more than {up} rows and {left} columns", "give a larger model")
    cells = np.arange(grid.cells).reshape(grid.rows, grid.columns)
    return cells[up:, left:].ravel()
