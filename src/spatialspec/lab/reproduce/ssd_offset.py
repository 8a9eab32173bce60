"""SSD's figures 1 and 3: acceptance by offset, and the cost of drafting and verifying K tokens."""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING

import numpy as np
import torch

from spatialspec.core.errors import BadInput
from spatialspec.drafts.acceptance import by_rejection
from spatialspec.lab.replay.replay import measure_cost
from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.plots import lines
from spatialspec.lab.reproduce.readings import draft_distributions, inner_cells, readings
from spatialspec.lab.reproduce.report import Column, Table
from spatialspec.lab.reproduce.verdict import Claim
from spatialspec.measure.intervals import mean_over_prompts
from spatialspec.methods.predictors import SSDPredictors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER = {
    ("right", 1): 43.27,
    ("right", 2): 29.69,
    ("right", 3): 25.47,
    ("down", 1): 30.32,
    ("down", 2): 27.03,
    ("down", 3): 25.71,
}
SIZES = (1, 5, 24, 48, 120, 240)
MOST, VERIFY, DRAFT = 240, 1.6, 0.1  # the paper's K, and its bounds in steps of AR
REPEATS = 8
ABOUT = (
    "Acceptance of the predictors' drafts falls with the offset, faster to the right than down: 43, 30 and 25 % to "
    "the right, 30, 27 and 26 % down on Janus-Pro-7B, so that one row down is as easy as two cells right. On "
    "Lumina-mGPT-7B and an RTX PRO 6000 verifying 240 tokens in one pass costs less than 1.6 steps of AR, drafting "
    "them less than 0.1."
)


def run(context: ExperimentContext) -> Outcome:
    """Acceptance on AR's images, then times on this machine."""
    predictors = context.find(SSDPredictors, "ssd")
    config = predictors.config
    if not (config.horizontal and config.vertical):
        raise BadInput(
            f"{config.horizontal} predictors to the right, {config.vertical} down", "both", "give other drafts"
        )
    columns, rows = context.grid.columns, context.grid.rows
    reach = {"right": min(config.horizontal, columns // 2), "down": min(config.vertical, rows // 2)}
    heads = [(direction, k) for direction, most in reach.items() for k in range(1, most + 1)]
    cells = inner_cells(context.grid, reach["down"], reach["right"])
    accepted: dict[tuple[str, int], list[float]] = {head: [] for head in heads}
    for reading in readings(context):
        p = context.request.sampling.distribution(reading.logits)[cells]
        for direction, k in heads:
            down = direction == "down"
            q = draft_distributions(context.target, predictors, reading, down, k - 1, context.request.sampling)
            accepted[direction, k].append(100 * float(by_rejection(p, q[cells - k * (columns if down else 1)]).mean()))
    by_offset = Table(
        caption="Probability that a draft is accepted, mean over cells that every predictor drafts:",
        columns=[
            Column(key="direction", label="direction"), Column(key="offset", label="offset"),
            Column(key="accepted", label="accepted, %", form="{:.2f}"),
            Column(key="paper_accepted", label="paper: accepted, %", form="{:.2f}"),
        ],
        rows=[
            {"direction": d, "offset": k, "accepted": float(np.mean(values)), "paper_accepted": PAPER.get((d, k))}
            for (d, k), values in accepted.items()
        ],
    )  # fmt: skip
    costs, times = _costs(context, predictors)
    sizes = list(costs)
    by_size = Table(
        caption="Time of verifying K tokens in a pass and of drafting them with one predictor, in steps of AR:",
        columns=[
            Column(key="size", label="K"), Column(key="verify", label="verifying", form="{:.2f}"),
            Column(key="draft", label="drafting", form="{:.3f}"),
            Column(key="paper_verify", label="paper: verifying, below", form="{:.1f}"),
            Column(key="paper_draft", label="paper: drafting, below", form="{:.1f}"),
        ],
        rows=[
            {
                "size": k, "verify": costs[k][0], "draft": costs[k][1],
                "paper_verify": VERIFY if k == MOST else None, "paper_draft": DRAFT if k == MOST else None,
            }
            for k in sizes
        ],
    )  # fmt: skip

    def claim(text: str, a: list[float], b: list[float]) -> Claim:
        return Claim(text, mean_over_prompts(np.subtract(a, b), range(len(a))), len(a), "%")

    claims = [claim("right 1 is accepted more often than down 1", accepted["right", 1], accepted["down", 1])]
    if (last := min(reach.values())) > 1:
        falls = {d: np.subtract(accepted[d, 1], accepted[d, last]).tolist() for d in reach}
        claims.append(
            claim("acceptance falls faster with the offset to the right than down", falls["right"], falls["down"])
        )
    most = sizes[-1]
    for name, which, bound in (("verifying", 0, VERIFY), ("drafting", 1, DRAFT)):
        values = [one[most][which] for one in times]
        text = f"{name} {most} tokens costs less than {bound} steps of AR here"
        claims.append(Claim(text, mean_over_prompts(values, range(len(values))), len(values), "steps", -inf, bound))

    def draw(plot: Figure) -> None:
        plot.set_size_inches(9, 3.8)
        left, right = plot.subplots(1, 2)
        series = {
            d: ([*range(1, m + 1)], [float(np.mean(accepted[d, k])) for k in range(1, m + 1)]) for d, m in reach.items()
        }
        for d in reach:
            series[f"paper, {d}"] = ([1, 2, 3], [PAPER[d, k] for k in (1, 2, 3)])
        lines(left, series, "offset", "accepted, %")
        both = {"verifying": (sizes, [costs[k][0] for k in sizes]), "drafting": (sizes, [costs[k][1] for k in sizes])}
        lines(right, both, "K", "steps of AR")

    notes = [
        "Accepted: sum of min(p, q) under the target's recommended sampling, on AR's images; the paper gives no rule."
    ]
    if most < MOST:
        notes.append(f"A pass of {most} tokens is the largest that fits half of this grid.")
    return Outcome(ABOUT, [by_offset, by_size], claims, draw, notes)


def _costs(
    context: ExperimentContext, predictors: SSDPredictors
) -> tuple[dict[int, tuple[float, float]], list[dict[int, tuple[float, float]]]]:
    """Time of verifying and of drafting K tokens, in steps of AR: medians of the repeats, and all repeats."""
    half = context.grid.cells // 2
    sizes = sorted({min(k, half) for k in SIZES})
    runs = []
    for _ in range(1 if context.quick else REPEATS):
        verify = measure_cost(context.pipeline, context.grid, sizes, repeats=3)
        draft = {k: _draft_seconds(context, predictors, k) for k in sizes}
        runs.append({k: (verify(k) / verify(1), draft[k] / verify(1)) for k in sizes})
    medians = {k: tuple(float(np.median([one[k][i] for one in runs])) for i in (0, 1)) for k in sizes}
    return {k: (a, b) for k, (a, b) in medians.items()}, runs


@torch.inference_mode()
def _draft_seconds(context: ExperimentContext, predictors: SSDPredictors, size: int) -> float:
    """Seconds of one predictor for the distributions of some cells, in all streams; best of three."""
    target = context.target
    hidden = torch.zeros(context.request.sampling.streams, size, target.width, dtype=target.dtype, device=target.device)
    embedding = target.embed(torch.zeros(size, dtype=torch.long, device=target.device))
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        guess = predictors.vertical[0](predictors.to_space(target, hidden, embedding), embedding)
        context.request.sampling.distribution(predictors.logits(target, guess)).cpu()
        best = min(best, time.perf_counter() - start)
    return best
