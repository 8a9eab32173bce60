"""SSD's ablation of rounds of correction r."""

from __future__ import annotations

import numpy as np

from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.paired import draw_all, of_means
from spatialspec.lab.reproduce.plots import compare
from spatialspec.lab.reproduce.report import Column, Value
from spatialspec.lab.reproduce.verdict import Claim
from spatialspec.measure.intervals import mean_over_prompts

BLOCK = 5  # k_h
SMALL = 1e-6  # nats: smallest distance, to avoid a division by 0
METHODS = [f"ssd:rounds={r}" for r in range(4)]
PAPER: dict[str, dict[str, Value]] = {
    METHODS[0]: {"paper_passes": 34, "paper_time": 14.1, "paper_dpg": 71.65},
    METHODS[1]: {"paper_passes": 57, "paper_time": 8.1, "paper_dpg": 81.27},
    METHODS[2]: {"paper_passes": 80, "paper_time": 5.7, "paper_dpg": 83.40},
    "ar": {"paper_passes": 576, "paper_time": 1.0, "paper_dpg": 84.23},
}
COLUMNS = (
    Column(key="paper_passes", label="paper: passes"),
    Column(key="paper_time", label="paper: x time", form="{:.1f}"),
    Column(key="paper_dpg", label="paper: DPG", form="{:.2f}"),
)
ABOUT = (
    "On Janus-Pro-7B (24 x 24) every round costs 23 passes and brings the images closer to AR's: DPG-Bench 71.65, "
    "81.27 and 83.40 with 0, 1 and 2 rounds, 84.23 with AR. Two rounds win back more than half of what is lost "
    "without any."
)


def run(context: ExperimentContext) -> Outcome:
    """SSD with 0 to 3 rounds, under rejection."""
    paired = draw_all(context, METHODS)
    none, one, two = METHODS[:3]
    first = 1 + 2 * -(-(context.grid.columns - 1) // BLOCK)
    counted = first + (context.grid.rows - 1) * 3
    samples = paired.prompts
    passes = paired.values(two, "target_passes")
    claims = [
        Claim(
            f"two rounds take the {counted} passes that the paper's schedule has on {context.grid}",
            None if passes is None else mean_over_prompts([p - counted for p in passes], range(samples)), samples,
            "passes more", -0.5, 0.5,
        ),
        paired.nearer("one round is closer to AR than none", one, none),
        paired.nearer("two rounds are closer to AR than one", two, one),
        _won_back(paired.away(none), paired.away(two)),
    ]  # fmt: skip
    table = paired.table("Means over prompts, times medians:", COLUMNS, PAPER)
    panels = [("target_passes", "paper_passes"), ("likelihood_gap", ""), ("pit_ks", "")]
    return Outcome(ABOUT, [table], claims, lambda plot: compare(plot, table, panels))


def _won_back(none: list[float] | None, two: list[float] | None) -> Claim:
    """Share of the distance from AR that two rounds remove."""
    text = "two rounds win back more than half of the distance from AR"
    if none is None or two is None:
        return Claim(text, None, 0, "of it", 0.5)
    share = of_means([none, two], lambda means: 1 - abs(means[1]) / np.maximum(abs(means[0]), SMALL))
    return Claim(text, share, len(none), "of it", 0.5)
