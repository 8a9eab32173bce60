"""Which content of an image favours which direction: a regression over cells.

    y = sum_v min(p, q_v) - sum_v min(p, q_h)  =  b_0 + b_across x_across + b_down x_down

y: acceptance probability under rejection of the draft from above, minus that of the draft from the left. x: log(1 +
change of pixels) in the cell, across and down, each with mean 0 and standard deviation 1 over all cells. Ordinary least
squares; intervals by a bootstrap over images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Num

from spatialspec.drafts.acceptance import by_rejection
from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.images import changes
from spatialspec.lab.reproduce.readings import draft_distributions, inner_cells, readings
from spatialspec.lab.reproduce.report import Column, Table, Value
from spatialspec.lab.reproduce.verdict import Claim
from spatialspec.measure.intervals import RESAMPLES, bootstrapped
from spatialspec.measure.intervals import Figure as Interval
from spatialspec.methods.hawk import HawkHeads

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TERMS = ("constant", "change across (upright structure)", "change down (level structure)")
THIRDS = ("flat", "middle", "busy")
Samples = list[tuple[Float[np.ndarray, "cells 3"], Float[np.ndarray, "cells"]]]
ABOUT = (
    "The paper leaves open how content decides which direction predicts better. Vertical structure (pixels change "
    "across, not down) continues from the row above, horizontal structure from the left. So the vertical draft should "
    "be better on the first, the horizontal draft on the second. The paper has no figures on it."
)


def regress(samples: Samples) -> list[Interval]:
    """Coefficients of least squares over the cells of all images, with intervals over images.

    Args:
        samples: for each image its terms and what they explain.
    """
    products = np.array([x.T @ x for x, _ in samples]), np.array([x.T @ y for x, y in samples])

    def solve(weight: Num[np.ndarray, "images"]) -> Float[np.ndarray, "3"]:
        left, right = (np.tensordot(weight, part, 1) for part in products)
        return np.linalg.lstsq(left, right, rcond=None)[0]

    count = len(samples)
    draws = np.random.default_rng((0, count)).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    resamples = np.array([solve(weight) for weight in draws])
    values = solve(np.ones(count))
    return [bootstrapped(float(value), resamples[:, i], count) for i, value in enumerate(values)]


def run(context: ExperimentContext) -> Outcome:
    """Hawk's first heads on every inner cell of AR's images."""
    heads, sampling, grid = context.find(HawkHeads, "hawk"), context.request.sampling, context.grid
    cells = inner_cells(grid, 1, 1)
    across: list[Float[np.ndarray, "inner"]] = []
    down: list[Float[np.ndarray, "inner"]] = []
    above: list[Float[np.ndarray, "inner"]] = []
    left: list[Float[np.ndarray, "inner"]] = []
    for reading in readings(context):
        p = sampling.distribution(reading.logits)[cells]
        for values, vertical, offset in ((above, True, grid.columns), (left, False, 1)):
            q = draft_distributions(context.target, heads, reading, vertical, 0, sampling)[cells - offset]
            values.append(by_rejection(p, q).double().cpu().numpy())
        for values, change in zip(
            (across, down), changes(context.target.pixels(reading.tokens.tolist(), grid), grid), strict=True
        ):
            values.append(np.log1p(change[cells]))
    x = [np.array(x_values) for x_values in (across, down)]
    scaled = [(x_values - x_values.mean()) / max(float(x_values.std()), 1e-9) for x_values in x]
    count, wins = len(above), np.subtract(above, left)
    fit = regress([(np.stack((np.ones(len(cells)), a, b), axis=1), y) for a, b, y in zip(*scaled, wins, strict=True)])
    rows: list[dict[str, Value]] = []
    for term, figure in zip(TERMS, fit, strict=True):
        low, high = figure.interval or (None, None)
        rows.append({"term": term, "coefficient": figure.value, "low": low, "high": high})
    columns = [Column(key="term", label="term")]
    columns += [Column(key=key, label=key, form="{:+.4f}") for key in ("coefficient", "low", "high")]
    caption = "Least squares; y is positive where the draft from above is accepted more often:"
    regression = Table(caption=caption, columns=columns, rows=rows)

    busy = x[0] + x[1]
    low, high = np.quantile(busy, (1 / 3, 2 / 3))
    parts = [busy <= low, (busy > low) & (busy <= high), busy > high]
    kinds: list[dict[str, Value]] = []
    for name, part in zip(THIRDS, parts, strict=True):
        figures = {"above": np.array(above), "left": np.array(left), "difference": wins}
        kinds.append({"kind": name, **{k: float(v[part].mean()) if part.any() else None for k, v in figures.items()}})
    by_kind = Table(
        caption="Accepted probability by how busy a cell is, thirds of all cells:",
        columns=[
            Column(key="kind", label="cells"), Column(key="above", label="from above", form="{:.3f}"),
            Column(key="left", label="from the left", form="{:.3f}"),
            Column(key="difference", label="difference", form="{:+.3f}"),
        ],
        rows=kinds,
    )  # fmt: skip
    minus = Interval(-fit[2].value, None if fit[2].interval is None else (-fit[2].interval[1], -fit[2].interval[0]))
    claims = [
        Claim("upright structure favours the draft from above", fit[1], count, "per deviation of the change across"),
        Claim("level structure favours the draft from the left", minus, count, "per deviation of the change down"),
    ]

    def draw(plot: Figure) -> None:
        plot.set_size_inches(9, 3.8)
        one, two = plot.subplots(1, 2)
        edges = [np.unique(np.quantile(x_values, np.linspace(0, 1, 7))) for x_values in x]
        one.set(xlabel="change across", ylabel="change down", title="from above minus from the left")
        bins = [np.clip(np.digitize(v.ravel(), e[1:-1]), 0, max(len(e) - 2, 0)) for v, e in zip(x, edges, strict=True)]
        sums, counts = np.zeros((6, 6)), np.zeros((6, 6))
        np.add.at(sums, (bins[1], bins[0]), wins.ravel())
        np.add.at(counts, (bins[1], bins[0]), 1)
        mean = np.divide(sums, counts, out=np.full((6, 6), np.nan), where=counts > 0)
        most = float(np.nanmax(np.abs(mean))) or 1.0
        plot.colorbar(one.imshow(mean, origin="lower", cmap="PuOr", vmin=-most, vmax=most), ax=one)
        two.bar(THIRDS, [float(kind["difference"] or 0) for kind in kinds])
        two.axhline(0, color="black", linewidth=0.8)
        two.set_title("from above minus from the left", fontsize=10)

    return Outcome(
        ABOUT, [regression, by_kind], claims, draw, ["The plot on the left has sixths of all cells on both axes."]
    )
