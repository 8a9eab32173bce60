"""SSD's main table: AR, 1D-MTP, SJD, GSD, LANTERN, ZipAR and SSD, in passes, time and quality."""

from __future__ import annotations

from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.paired import draw_all
from spatialspec.lab.reproduce.plots import compare
from spatialspec.lab.reproduce.report import Column, Value
from spatialspec.methods.hawk import HawkHeads

NAMES = {"sjd": "SJD", "gsd": "GSD", "zipar": "ZipAR"}
PAPER: dict[str, dict[str, Value]] = {
    "ar": {"paper_passes": 1.0, "paper_time": 1.0, "paper_dpg": 84.23},
    "mtp": {"paper_passes": 2.49, "paper_time": 2.00, "paper_dpg": 80.98},
    "sjd": {"paper_passes": 1.81, "paper_time": 1.50, "paper_dpg": 84.01},
    "gsd": {"paper_passes": 3.07, "paper_time": 2.38, "paper_dpg": 82.97},
    "lantern": {"paper_passes": 1.17, "paper_time": 0.84, "paper_dpg": 84.07},
    "zipar": {"paper_passes": 2.76, "paper_time": 2.59, "paper_dpg": 83.78},
    "ssd": {"paper_passes": 7.20, "paper_time": 5.70, "paper_dpg": 83.40},
}
COLUMNS = (
    Column(key="paper_passes", label="paper: x passes", form="{:.2f}"),
    Column(key="paper_time", label="paper: x time", form="{:.2f}"),
    Column(key="paper_dpg", label="paper: DPG", form="{:.2f}"),
)
ABOUT = (
    "On Janus-Pro-7B, whose grid is 24 x 24 too, SSD with two rounds takes 80 passes for 576 tokens, 7.2 times "
    "fewer than AR, at 83.40 on DPG-Bench against AR's 84.23. The paper's figures are those of its revised project "
    "page."
)


def run(context: ExperimentContext) -> Outcome:
    """Every method at its own defaults, under rejection."""
    methods = [name for name in PAPER if name != "lantern" or context.has(HawkHeads)]
    paired = draw_all(context, methods)
    claims = [
        paired.more(f"SSD takes fewer passes than {name}", other, "ssd", "target_passes", "passes")
        for other, name in NAMES.items()
    ]
    claims += [
        paired.near("SSD's images are as likely as AR's", "ssd"),
        paired.nearer("SSD is closer to AR in likelihood than 1D-MTP", "ssd", "mtp"),
    ]
    table = paired.table("Means over prompts, times medians:", COLUMNS, PAPER)
    panels = [("speedup_passes", "paper_passes"), ("speedup_seconds", "paper_time"), ("likelihood_gap", "")]
    notes = ["LANTERN works on Hawk's heads here, on EAGLE's drafter in the paper."]
    if "lantern" not in methods:
        notes.append("LANTERN was left out: there are no draft weights of Hawk.")
    return Outcome(ABOUT, [table], claims, lambda plot: compare(plot, table, panels), notes)
