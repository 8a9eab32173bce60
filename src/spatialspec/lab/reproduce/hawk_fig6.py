"""Hawk's figure 6: the probability that no candidate is accepted, against their number, from one source and from two.

Candidates are independent draws, tested in order, vertical ones first. The acceptance of candidate i does not depend on
which tokens were rejected before it, so the probability is a product, exact for every cell:

    p_1 = p,   a_i = sum_v min(p_i(v), q_i(v)),   p_{i+1} = normalise(max(p_i - q_i, 0));   rejected: prod_i (1 - a_i)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.drafts.acceptance import by_rejection
from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.plots import lines
from spatialspec.lab.reproduce.readings import draft_distributions, inner_cells, readings
from spatialspec.lab.reproduce.report import Column, Table, Value
from spatialspec.lab.reproduce.verdict import Claim
from spatialspec.measure.intervals import mean_over_prompts
from spatialspec.methods.hawk import HawkHeads
from spatialspec.methods.rejection import normalise, residual

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COUNTS = (1, 2, 4, 6, 10, 16, 24, 31)
SOURCES = ("dual", "horizontal", "vertical")
PAPER: dict[int, dict[str, Value]] = {
    2: {"paper_dual": 0.555, "paper_horizontal": 0.60},
    10: {"paper_dual": 0.36, "paper_horizontal": 0.43},
    31: {"paper_dual": 0.24, "paper_horizontal": 0.315},
}
ABOUT = (
    "Candidates from one head soon bring nothing new: what is left of p after each refusal moves away from q. "
    "Candidates from two heads go on helping. Read off the paper's figure for Lumina-mGPT-7B: 0.555 of positions "
    "reject both of 2 candidates from two heads, 0.60 from the horizontal head alone; 0.36 and 0.43 with 10, 0.24 "
    "and 0.315 with 31."
)


def rejected(
    p: Float[Tensor, "cells V"], q: Sequence[Float[Tensor, "cells V"]], counts: Sequence[int]
) -> dict[int, Float[Tensor, "cells"]]:
    """Probability that all of the first n candidates are rejected.

    Args:
        p: of the target.
        q: distribution of each candidate, in the order of the tests.
        counts: numbers of candidates n, each at most the number of distributions.
    """
    left, missed, by_count = p.double(), torch.ones(len(p), dtype=torch.float64, device=p.device), {}
    for n, draft in enumerate(q, start=1):
        draft = draft.double()
        missed = missed * (1 - by_rejection(left, draft)).clamp(min=0)
        left = normalise(residual(left, draft))
        if n in counts:
            by_count[n] = missed
    return by_count


def run(context: ExperimentContext) -> Outcome:
    """Vertical head 1 and horizontal head 1 on every inner cell of AR's images."""
    heads, sampling = context.find(HawkHeads, "hawk"), context.request.sampling
    cells = inner_cells(context.grid, 1, 1)
    counts = COUNTS[:4] if context.quick else COUNTS
    means: dict[str, dict[int, list[float]]] = {source: {n: [] for n in counts} for source in SOURCES}
    for reading in readings(context):
        p = sampling.distribution(reading.logits)[cells]
        right = draft_distributions(context.target, heads, reading, False, 0, sampling)[cells - 1]
        down = draft_distributions(context.target, heads, reading, True, 0, sampling)[cells - context.grid.columns]
        single = {
            "horizontal": rejected(p, [right] * counts[-1], counts),
            "vertical": rejected(p, [down] * counts[-1], counts),
        }
        for n in counts:
            both = [down] * -(-n // 2) + [right] * (n // 2)
            for source, by_count in ({"dual": rejected(p, both, [n])} | single).items():
                means[source][n].append(float(by_count[n].mean()))
    samples = len(context.request.prompts)
    rows = [{"n": n, **{s: float(np.mean(means[s][n])) for s in SOURCES}, **PAPER.get(n, {})} for n in counts]
    columns = [Column(key="n", label="candidates")]
    columns += [Column(key=source, label=source, form="{:.3f}") for source in SOURCES]
    columns += [Column(key=f"paper_{source}", label=f"paper: {source}", form="{:.3f}") for source in SOURCES[:2]]

    def claim(text: str, a: list[float], b: list[float]) -> Claim:
        return Claim(text, mean_over_prompts(np.subtract(a, b), range(samples)), samples)

    one, two = means["horizontal"], means["dual"]
    claims = [
        claim(f"{n} candidates are all rejected more often from the horizontal head than from both", one[n], two[n])
        for n in counts if n in PAPER
    ]  # fmt: skip
    last = counts[-1]
    claims.append(
        claim(
            f"{last} candidates are rejected more often from the vertical head alone than from both",
            means["vertical"][last],
            two[last],
        )
    )

    def draw(plot: Figure) -> None:
        plot.set_size_inches(6, 4)
        series = {s: ([*counts], [float(np.mean(means[s][n])) for n in counts]) for s in SOURCES}
        for name in ("dual", "horizontal"):
            theirs = [(n, float(v)) for n, row in PAPER.items() if isinstance(v := row[f"paper_{name}"], float)]
            series[f"paper, {name}"] = ([n for n, _ in theirs], [v for _, v in theirs])
        lines(plot.subplots(), series, "candidates", "probability that all are rejected")

    notes = [
        "Dual: half of the candidates from vertical head 1, tested first, then as many from horizontal head 1.",
        "Probabilities are computed, not counted, for every cell with a cell above and to its left.",
    ]
    table = Table(caption="Probability that all candidates are rejected, mean over cells:", columns=columns, rows=rows)
    return Outcome(ABOUT, [table], claims, draw, notes)
