"""SSD's ablation of the acceptance criterion: AR, strict speculative decoding, auto-correction."""

from __future__ import annotations

import numpy as np

from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.paired import draw_all
from spatialspec.lab.reproduce.plots import compare
from spatialspec.lab.reproduce.report import Column, Value
from spatialspec.lab.reproduce.verdict import Claim
from spatialspec.measure.intervals import mean_over_prompts

PAPER: dict[str, dict[str, Value]] = {
    "ar": {"paper_passes": 576, "paper_time": 1.0, "paper_dpg": 84.23},
    "ssd-strict": {"paper_passes": 504, "paper_time": 0.87, "paper_dpg": 83.80},
    "ssd": {"paper_passes": 80, "paper_time": 5.70, "paper_dpg": 83.40},
}
COLUMNS = (
    Column(key="paper_passes", label="paper: passes"),
    Column(key="paper_time", label="paper: x time", form="{:.2f}"),
    Column(key="paper_dpg", label="paper: DPG", form="{:.2f}"),
)
ABOUT = (
    "With the same drafts, strict verification (back to the first mismatch, exact) takes 504 passes on Janus-Pro-7B "
    "and is slower than AR; auto-correction takes 80 and is 5.7 times as fast, with images nearly as good."
)


def run(context: ExperimentContext) -> Outcome:
    """The three criteria, under rejection."""
    paired = draw_all(context, list(PAPER))
    ar, strict = (np.array(paired.values(name, "seconds")) for name in ("ar", "ssd-strict"))
    slower = mean_over_prompts(strict / ar - 1, range(paired.prompts))
    claims = [
        paired.more("auto-correction takes fewer passes than strict", "ssd-strict", "ssd", "target_passes", "passes"),
        Claim("strict verification takes more time than AR", slower, paired.prompts, "of AR's time"),
        paired.near("strict verification's images are as likely as AR's", "ssd-strict"),
        paired.near("auto-correction's images are as likely as AR's", "ssd"),
    ]
    table = paired.table("Means over prompts, times medians:", COLUMNS, PAPER)
    panels = [("target_passes", "paper_passes"), ("speedup_seconds", "paper_time"), ("likelihood_gap", "")]
    return Outcome(ABOUT, [table], claims, lambda plot: compare(plot, table, panels))
