"""Hawk's figures 1 and 7: attention of the slot that outputs a cell, averaged over heads and layers.

The slot that outputs cell c reads the token of the cell before it. The parts are the cells to the left in the row of c,
the row above, all rows further up, the text, and the forced tokens at row ends. A share is the sum of the attention on
a part. "Times uniform" is that share divided by the part's share of slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from spatialspec.core.grid import Grid
from spatialspec.lab.reproduce.attention import AttentionMap, attention
from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.plots import bars
from spatialspec.lab.reproduce.readings import draw as draw_images
from spatialspec.lab.reproduce.report import Column, Table, Value
from spatialspec.lab.reproduce.verdict import Claim
from spatialspec.measure.intervals import mean_over_prompts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = ("left", "above", "elsewhere", "text", "row ends")
UP, SIDE = 3, 6  # rows and cells around a cell in the map
COLUMNS = (
    Column(key="part", label="attention on"),
    Column(key="share", label="share of attention", form="{:.1%}"),
    Column(key="slots", label="share of slots", form="{:.1%}"),
    Column(key="uniform", label="times uniform", form="{:.2f}"),
)
ABOUT = (
    "Averaged over heads and layers, the attention of Lumina-mGPT's central token has a peak at the row above that "
    "is higher than at any token in its row, besides a sink at the first token. A language model's attention decays "
    "within about five tokens. The paper averages logits, this page weights."
)


def shares(attention_map: AttentionMap, grid: Grid) -> dict[str, tuple[float, float]]:
    """Share of attention and share of slots of every part, mean over cells with a cell above and to the left."""
    means = {part: np.zeros(2) for part in (*PARTS, "first slot")}

    count = 0
    for cell in range(1, grid.cells):
        row, column = divmod(cell, grid.columns)
        if not row or not column:
            continue
        weights, count = attention_map.cells[cell - 1], count + 1
        start, above = row * grid.columns, (row - 1) * grid.columns
        ends = row * attention_map.forced
        parts = {
            "left": (weights[start:cell].sum(), column),
            "above": (weights[above:start].sum(), grid.columns),
            "elsewhere": (weights[:above].sum(), above),
            "text": (attention_map.text[cell - 1].sum(), attention_map.text.shape[1]),
            "row ends": (attention_map.ends[cell - 1], ends),
            "first slot": (attention_map.text[cell - 1, 0], 1),
        }
        slots = cell + attention_map.text.shape[1] + ends
        for part, (weight, size) in parts.items():
            means[part] += weight, size / slots
    return {part: (float(a) / count, float(b) / count) for part, (a, b) in means.items()}


def neighbourhood(attention_map: AttentionMap, grid: Grid) -> Float[np.ndarray, "up side"]:
    """Mean attention by offset, rows up and cells to the side; NaN for offsets that are not yet written.

    The mean is over all cells of the image for which the offset lies inside it.
    """
    mean = np.full((UP + 1, 2 * SIDE + 1), np.nan)
    cells = np.arange(1, grid.cells)
    row, column = np.divmod(cells, grid.columns)
    for up in range(UP + 1):
        for side in range(-SIDE, 0 if not up else SIDE + 1):
            inside = (row >= up) & (column + side >= 0) & (column + side < grid.columns)
            if inside.any():
                written = cells[inside]
                mean[up, side + SIDE] = attention_map.cells[written - 1, written - up * grid.columns + side].mean()
    return mean


def run(context: ExperimentContext) -> Outcome:
    """One pass over each image that AR draws."""
    grid, request = context.grid, context.request
    by_image, maps = [], []
    drawn = draw_images(context)
    with context.bar(len(drawn) * grid.cells) as report:
        for prompt, tokens in zip(request.prompts, drawn, strict=True):
            one = attention(context.target, prompt, tokens, request.sampling, grid)
            by_image.append(shares(one, grid))
            maps.append(neighbourhood(one, grid))
            report("attention", grid.cells)
    samples = len(by_image)
    means = {part: np.mean([one[part] for one in by_image], axis=0) for part in by_image[0]}
    rows: list[dict[str, Value]] = []
    for part, (share, slots) in means.items():
        if slots:
            rows.append({"part": part, "share": float(share), "slots": float(slots), "uniform": float(share / slots)})
    table = Table(caption="Means over cells with a cell above and to the left:", columns=list(COLUMNS), rows=rows)
    peaks = [(float(np.nanmax(one[1])), float(np.nanmax(one[0, : SIDE - 1]))) for one in maps]
    mean_map = np.mean(maps, axis=0)
    near: list[dict[str, Value]] = [
        {"place": name, "weight": float(mean_map[up, SIDE + side])}
        for name, up, side in (
            ("the cell before it, which its slot reads", 0, -1), ("two to the left", 0, -2), ("above", 1, 0),
            ("above and left", 1, -1), ("above and right", 1, 1), ("two rows above", 2, 0),
        )
    ]  # fmt: skip
    single_cells = Table(
        caption="Attention on single cells:",
        columns=[Column(key="place", label="cell"), Column(key="weight", label="attention", form="{:.4f}")],
        rows=near,
    )

    def claim(text: str, differences: list[float]) -> Claim:
        return Claim(text, mean_over_prompts(differences, range(samples)), samples, "of all attention")

    sink = [share - slots for share, slots in (one["first slot"] for one in by_image)]
    claims = [
        claim(
            "the row above has a higher peak than the row of the cell, without the cell just read",
            [a - b for a, b in peaks],
        ),
        claim(
            "the row above as a whole gets more than the row of the cell",
            [o["above"][0] - o["left"][0] for o in by_image],
        ),
        claim("the first slot of the sequence gets more than an even share", sink),
    ]

    def draw(plot: Figure) -> None:
        plot.set_size_inches(10, 3.6)
        left, right = plot.subplots(1, 2)
        shown = left.imshow(mean_map, extent=(-SIDE - 0.5, SIDE + 0.5, UP + 0.5, -0.5), cmap="viridis")
        left.set(xlabel="cells to the side", ylabel="rows up", title="attention on single cells", yticks=range(UP + 1))
        plot.colorbar(shown, ax=left, shrink=0.7)
        both = [[float(row[key] or 0) for row in rows] for key in ("share", "slots")]
        bars(right, [str(row["part"]) for row in rows], both[0], both[1], "shares", ("attention", "slots"))

    notes = [
        "“first slot” is part of the text. With guidance, the attention is that of the conditional stream.",
        "The cell just read is left out of the first claim, as its slot attends to itself.",
    ]
    return Outcome(ABOUT, [table, single_cells], claims, draw, notes)
