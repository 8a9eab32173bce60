"""Heads of Hawk's form, x + SiLU(W x), one for each offset, trained alike so that offsets can be compared.

The loss is the cross-entropy of the token in the conditional stream, as in Medusa-1. All heads predict the same cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.progress import Progress
from spatialspec.lab.reproduce.readings import inner_cells
from spatialspec.methods.hawk import HawkHeads

REACH = 3
OFFSETS = {  # name -> rows down, cells right
    "right 1": (0, 1), "right 2": (0, 2), "right 3": (0, 3),
    "down 1": (1, 0), "down 2": (2, 0), "down 3": (3, 0),
    "down 1 right 1": (1, 1), "down 1 right 2": (1, 2), "down 2 right 1": (2, 1),
}  # fmt: skip
BATCH = 512  # cells of a step
CHECKS = 20  # evaluations on held-out images
RATE = 1e-3  # of AdamW at width 256, falling as 1 / width


@dataclass(frozen=True)
class ReadImages:
    """States and tokens of some images under the target, one image after the other.

    Attributes:
        grid: of each.
        states: normed, of the conditional stream.
        tokens: in raster order.
        inner: indices of the cells that every head predicts.
    """

    grid: Grid
    states: Float[Tensor, "N d"]
    tokens: Int[Tensor, "N"]
    inner: Int[Tensor, "n"]

    @classmethod
    def of(cls, grid: Grid, read: Sequence[tuple[Float[Tensor, "cells d"], Int[Tensor, "cells"]]]) -> ReadImages:
        """From the states and tokens of each image."""
        states = torch.cat([one for one, _ in read])
        inner = torch.from_numpy(inner_cells(grid, REACH, REACH)).to(states.device)
        starts = torch.arange(len(read), device=states.device)[:, None] * grid.cells
        return cls(grid, states, torch.cat([tokens for _, tokens in read]), (starts + inner).flatten())


def losses(
    target: Target, weight: Float[Tensor, "H d d"], images: ReadImages, cells: Int[Tensor, "n"]
) -> Float[Tensor, "H n"]:
    """Cross-entropy of every head at some inner cells.

    Args:
        target: its frozen output layer.
        weight: of the heads, in the order of OFFSETS.
        images: of the cells.
        cells: among `images.inner`.
    """
    by_head = []
    for head, (down, right) in zip(weight, OFFSETS.values(), strict=True):
        source = images.states[cells - down * images.grid.columns - right].float()
        guess = HawkHeads.apply_heads(head[None], source)[0]
        logits = target.output(guess.to(target.dtype)).float()
        by_head.append(F.cross_entropy(logits, images.tokens[cells], reduction="none"))
    return torch.stack(by_head)


@torch.no_grad()
def image_losses(target: Target, weight: Float[Tensor, "H d d"], images: ReadImages) -> Float[Tensor, "P H"]:
    """Mean loss of every head on every image."""
    parts = images.inner.split(len(inner_cells(images.grid, REACH, REACH)))
    return torch.stack([losses(target, weight, images, cells).mean(-1) for cells in parts])


def train(
    target: Target, seen: ReadImages, left_out: ReadImages, steps: int, report: Progress
) -> Float[Tensor, "H d d"]:
    """Train the heads; return the weights of each with the smallest loss on held-out images.

    AdamW with a cosine decay of the rate.

    Args:
        target: frozen.
        seen: training images; every step draws random cells.
        left_out: held-out images, evaluated CHECKS times for early stopping.
        steps: largest number of steps.
        report: called after every step, `report("heads", cells)`.
    """
    weight = torch.zeros(len(OFFSETS), target.width, target.width, device=target.device, requires_grad=True)
    optimiser = torch.optim.AdamW([weight], lr=RATE * 256 / target.width, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    draw = torch.Generator().manual_seed(0)
    best = weight.detach().clone()
    least = image_losses(target, best, left_out).mean(0)
    for step in range(1, steps + 1):
        chosen = torch.randint(len(seen.inner), (BATCH,), generator=draw).to(target.device)
        losses(target, weight, seen, seen.inner[chosen]).mean(-1).sum().backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        report("heads", BATCH)
        if step % max(steps // CHECKS, 1) == 0:
            now = image_losses(target, weight.detach(), left_out).mean(0)
            better = now < least
            least = torch.where(better, now, least)
            best[better] = weight.detach()[better]
    return best
