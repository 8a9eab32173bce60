"""Training targets of the scene judge's head at every cell of its maps, and the loss.

Penalty-reduced focal loss for the heat (CenterNet, https://arxiv.org/abs/1904.07850, equation 1 with alpha 2 and beta
4); cross-entropy for concept and colour around the middle of each thing, without the colour of untinted things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.quality.scenes.network import Maps, SceneHead
from spatialspec.quality.scenes.scene import COLOURS, Scene

NEAR = 0.5  # heat above which a cell has goals for concept and colour


@dataclass(frozen=True)
class Goals:
    """Training targets of the head at every cell.

    Attributes:
        heat: 1 in the cell of a thing's middle, falling off as a Gaussian.
        concepts, colours: indices; -1 where there is none.
    """

    heat: Float[Tensor, "B cells cells"]
    concepts: Int[Tensor, "B cells cells"]
    colours: Int[Tensor, "B cells cells"]

    def of(self, chosen: Int[Tensor, "N"]) -> Goals:
        """The goals of some scenes."""
        return Goals(self.heat[chosen], self.concepts[chosen], self.colours[chosen])


def goals(scenes: Sequence[Scene], concepts: Sequence[str], cells: int) -> Goals:
    """Goals of composed scenes.

    Args:
        scenes: with boxes.
        concepts: in the order of the head.
        cells: a side of its maps.

    Raises:
        BadInput: a thing has no box.
    """
    number = {concept: i for i, concept in enumerate(concepts)}
    heat = np.zeros((len(scenes), cells, cells), dtype=np.float32)
    named, coloured = (np.full(heat.shape, -1, dtype=np.int64) for _ in range(2))
    middles = (np.arange(cells) + 0.5) / cells
    for i, scene in enumerate(scenes):
        for thing in scene.things:
            if thing.box is None:
                raise BadInput(f"{scene.caption!r} without boxes", "them", "run `spatialspec train scenes`")
            left, top, right, bottom = thing.box
            x, y = (left + right) / 2, (top + bottom) / 2
            deviation = max(0.6 / cells, 0.11 * max(right - left, bottom - top))
            bell = np.exp(-((middles - x) ** 2 + (middles[:, None] - y) ** 2) / (2 * deviation**2))
            bell[min(int(y * cells), cells - 1), min(int(x * cells), cells - 1)] = 1
            heat[i] = np.maximum(heat[i], bell)
            named[i][bell > NEAR] = number[thing.concept]
            if thing.colour is not None:
                coloured[i][bell > NEAR] = COLOURS.index(thing.colour)
    return Goals(torch.from_numpy(heat), torch.from_numpy(named), torch.from_numpy(coloured))


def loss_of(head: SceneHead, maps: Maps, wanted: Goals) -> Float[Tensor, ""]:
    """Focal loss per thing, and cross-entropies per cell in nats."""
    heat, concepts, colours = head(maps)
    p, middle = heat.sigmoid().clamp(1e-4, 1 - 1e-4), (wanted.heat == 1).float()
    focal = middle * (1 - p) ** 2 * p.log() + (1 - middle) * (1 - wanted.heat) ** 4 * p**2 * (1 - p).log()
    named = F.cross_entropy(concepts, wanted.concepts, ignore_index=-1, label_smoothing=0.05)
    coloured = F.cross_entropy(colours, wanted.colours, ignore_index=-1, reduction="sum")
    return named - focal.sum() / middle.sum() + coloured / (wanted.colours >= 0).sum().clamp(min=1)
