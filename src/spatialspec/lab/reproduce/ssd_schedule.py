"""SSD's ablation of the schedule: two rows corrected jointly, or one after the other."""

from __future__ import annotations

from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.paired import draw_all
from spatialspec.lab.reproduce.plots import compare
from spatialspec.lab.reproduce.report import Column, Value

JOINT = "ssd:rounds=9:rows=2:inner=0"
STAGED = [f"ssd:rounds=5:rows=2:inner={i}" for i in range(1, 5)]
PAPER: dict[str, dict[str, Value]] = {
    JOINT: {"paper_passes": 285, "paper_dpg": 70.93},
    STAGED[0]: {"paper_passes": 212, "paper_dpg": 72.22},
    STAGED[1]: {"paper_passes": 235, "paper_dpg": 73.75},
    STAGED[2]: {"paper_passes": 258, "paper_dpg": 73.88},
    STAGED[3]: {"paper_passes": 281, "paper_dpg": 74.57},
}
COLUMNS = (
    Column(key="paper_passes", label="paper: passes"),
    Column(key="paper_dpg", label="paper: DPG", form="{:.2f}"),
)
ABOUT = (
    "On Lumina-mGPT-7B with two rows at once, correcting both together (b = 9, i = 0) takes more passes than "
    "correcting the second after the first is committed (b = 5, i = 4) and gives worse images: DPG-Bench 70.93 "
    "against 74.57. Even i = 1 is better than joint, and more rounds i are better."
)


def run(context: ExperimentContext) -> Outcome:
    """Joint and staged, under rejection."""
    paired = draw_all(context, [JOINT, *STAGED])
    claims = [
        paired.more("staged with i = 4 takes fewer passes than joint", JOINT, STAGED[-1], "target_passes", "passes"),
        paired.nearer("staged with i = 4 is closer to AR than joint with b = 9", STAGED[-1], JOINT),
        paired.nearer("staged with i = 1 is closer to AR than joint with b = 9", STAGED[0], JOINT),
        paired.nearer("staged with i = 4 is closer to AR than with i = 1", STAGED[-1], STAGED[0]),
    ]
    table = paired.table("Means over prompts, times medians:", COLUMNS, PAPER)
    panels = [("target_passes", "paper_passes"), ("likelihood_gap", ""), ("pit_ks", "")]
    return Outcome(ABOUT, [table], claims, lambda plot: compare(plot, table, panels))
