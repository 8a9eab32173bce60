"""Hawk's figure 5: where the horizontal and the vertical draft of a cell differ, drawn over the image.

KL(v || h) = sum_v q_v(x) (log q_v(x) - log q_h(x)): q_v of vertical head 1 from the cell above, q_h of horizontal
head 1 from the cell to the left, both without top-k and top-p.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Num
from PIL import Image
from torch import Tensor

from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.images import changes, overlays
from spatialspec.lab.reproduce.readings import draft_distributions, inner_cells, readings
from spatialspec.lab.reproduce.report import Column, Table, Value
from spatialspec.lab.reproduce.verdict import Claim
from spatialspec.measure.intervals import mean_over_prompts
from spatialspec.methods.hawk import HawkHeads

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 6  # images in the plot
THIRDS = ("flattest third of the cells", "middle third", "busiest third")
ABOUT = (
    "The divergence between the two drafts of a position is high on edges, eyes and tusks and low on the "
    "background: there the two directions know different things. The paper shows maps and gives no figures; busy "
    "here means that neighbouring pixels of a cell differ much."
)


def divergence(a: Float[Tensor, "*N V"], b: Float[Tensor, "*N V"]) -> Float[Tensor, "*N"]:
    """KL(a || b) in nats; b must be positive where a is."""
    a, b = a.double(), b.double().clamp(min=torch.finfo(torch.float64).tiny)
    return (torch.special.xlogy(a, a) - a * b.log()).sum(-1)


def run(context: ExperimentContext) -> Outcome:
    """The map of every image, and its correlation with the change of pixels."""
    heads, sampling, grid = context.find(HawkHeads, "hawk"), context.request.sampling.unfiltered, context.grid
    cells = inner_cells(grid, 1, 1)
    images: list[Image.Image] = []
    maps: list[Float[np.ndarray, "rows columns"]] = []
    ranks, thirds, means = [], [], []
    for reading in readings(context):
        right = draft_distributions(context.target, heads, reading, False, 0, sampling)[cells - 1]
        down = draft_distributions(context.target, heads, reading, True, 0, sampling)[cells - grid.columns]
        far = divergence(down, right).cpu().numpy()
        image = context.target.pixels(reading.tokens.tolist(), grid)
        busy = np.add(*changes(image, grid))[cells]
        means.append(float(far.mean()))
        ranks.append(rank_correlation(far, busy))
        order = np.argsort(busy, kind="stable")
        thirds.append([float(part.mean()) for part in np.array_split(far[order], 3)])
        if len(maps) < SHOWN:
            filled = np.full(grid.cells, np.nan)
            filled[cells] = far
            images.append(image)
            maps.append(filled.reshape(grid.rows, grid.columns))

    rows: list[dict[str, Value]] = [
        {"part": n, "kl": float(v)} for n, v in zip(THIRDS, np.mean(thirds, 0), strict=True)
    ]
    rows.append({"part": "all", "kl": float(np.mean(means))})
    rows.append({"part": "rank correlation with the change of pixels", "kl": _mean(ranks)})
    table = Table(
        caption="KL(vertical || horizontal), nats, mean over images:",
        columns=[Column(key="part", label="cells"), Column(key="kl", label="KL", form="{:.3f}")],
        rows=rows,
    )
    known = [rank for rank in ranks if np.isfinite(rank)]
    step = [most - least for least, _, most in thirds]
    follows, rises = mean_over_prompts(known, range(len(known))), mean_over_prompts(step, range(len(step)))
    claims = [
        Claim("the divergence grows with the change of pixels", follows, len(known), "of rank correlation"),
        Claim("it is larger on the busiest third of the cells than on the flattest", rises, len(step), "nats"),
    ]

    def draw(plot: Figure) -> None:
        plot.set_size_inches(2 * len(maps) + 1, 4.4)
        overlays(plot, images, maps, "KL(vertical || horizontal), nats")

    return Outcome(
        ABOUT, [table], claims, draw, ["Cells of the first row and column have one direction only and are left out."]
    )


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else None


def rank_correlation(a: Num[np.ndarray, "n"], b: Num[np.ndarray, "n"]) -> float:
    """Spearman's rank correlation with mean ranks for ties; NaN if all values of one argument are equal."""
    ranks = []
    for values in (a, b):
        _, order, counts = np.unique(values, return_inverse=True, return_counts=True)
        if len(counts) < 2:
            return float("nan")
        ranks.append((counts.cumsum() - (counts - 1) / 2)[order])
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
