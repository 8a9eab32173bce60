"""SSD's ablation of k_v, the rows drafted at once."""

from __future__ import annotations

from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.paired import draw_all
from spatialspec.lab.reproduce.plots import compare
from spatialspec.lab.reproduce.report import Column, Value
from spatialspec.methods.predictors import SSDPredictors

FIGURES = ((304, 7.86, 73.42), (281, 7.52, 74.57), (273, 7.98, 74.31), (269, 8.97, 74.26), (267, 9.03, 74.02))
COLUMNS = (
    Column(key="paper_passes", label="paper: passes"),
    Column(key="paper_seconds", label="paper: seconds", form="{:.2f}"),
    Column(key="paper_dpg", label="paper: DPG", form="{:.2f}"),
)
ABOUT = (
    "On Lumina-mGPT-7B (48 x 48), staged with b = 5 and i = 4, more rows at once take fewer passes, with little to "
    "win after two rows, and two rows are not worse than one."
)


def run(context: ExperimentContext) -> Outcome:
    """SSD with 1 to 5 rows at once, as far as the drafts have vertical predictors."""
    most = min(context.find(SSDPredictors, "ssd").config.vertical, len(FIGURES))
    methods = [f"ssd:rounds=5:rows={rows}" for rows in range(1, most + 1)]
    keys = [column.key for column in COLUMNS]
    paper: dict[str, dict[str, Value]] = {
        m: dict(zip(keys, figures, strict=True)) for m, figures in zip(methods, FIGURES, strict=False)
    }
    paired = draw_all(context, methods)
    claims = [
        paired.more(f"{k + 1} rows take fewer passes than {k}", methods[k - 1], methods[k], "target_passes", "passes")
        for k in range(1, most)
    ]
    claims += [paired.nearer("two rows are closer to AR than one", methods[1], methods[0])] if most > 1 else []
    table = paired.table("Means over prompts, times medians:", COLUMNS, paper)
    panels = [("target_passes", "paper_passes"), ("likelihood_gap", ""), ("pit_ks", "")]
    notes = [] if most == len(FIGURES) else [f"The drafts have {most} vertical predictors, so k_v stops there."]
    return Outcome(ABOUT, [table], claims, lambda plot: compare(plot, table, panels), notes)
