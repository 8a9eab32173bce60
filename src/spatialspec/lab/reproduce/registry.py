"""Registry of experiments, with their default number of prompts.

A new experiment is one file with a function `ExperimentContext -> Outcome`, and an entry in both tables here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spatialspec.lab.reproduce.context import ExperimentContext, Outcome


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    Attributes:
        summary: one line for help and pages.
        prompts: default number; at most 15 minutes on two cores with the embedded model.
        source: paper, and its part.
        folders: whether it compares drafts from several folders.
    """

    summary: str
    prompts: int
    source: str
    folders: bool = False


_HAWK, _SSD = "Hawk, arXiv 2510.25739, ", "SSD, arXiv 2606.20543, "
_OPEN = _HAWK + "an open question"

EXPERIMENTS: dict[str, Experiment] = {
    "hawk-table1": Experiment("AR, Medusa, vertical heads, LANTERN++, Hawk", 12, _HAWK + "table 1"),
    "hawk-fig4": Experiment("loss of heads by direction and depth", 64, _HAWK + "figure 4"),
    "hawk-fig5": Experiment("where horizontal and vertical drafts differ", 16, _HAWK + "figure 5"),
    "hawk-fig6": Experiment("rejection against the number of candidates", 16, _HAWK + "figure 6"),
    "hawk-vsd": Experiment("depth of the vertical cache: memory and use", 10, _HAWK + "section 3.3"),
    "hawk-attention": Experiment("attention by position", 16, _HAWK + "figures 1 and 7"),
    "hawk-sampling": Experiment("top-k, temperature and acceptance", 6, _HAWK + "appendix D"),
    "ssd-table1": Experiment("AR, 1D-MTP, SJD, GSD, LANTERN, ZipAR, SSD", 10, _SSD + "main table"),
    "ssd-rounds": Experiment("rounds of correction r", 12, _SSD + "ablation of r"),
    "ssd-criterion": Experiment("AR, strict verification, auto-correction", 12, _SSD + "table 4"),
    "ssd-rows": Experiment("rows drafted at once k_v", 12, _SSD + "ablation of k_v"),
    "ssd-schedule": Experiment("two rows, joint or staged", 12, _SSD + "ablation of schedules"),
    "ssd-data": Experiment("number of training images", 12, _SSD + "ablation of data", True),
    "ssd-target-space": Experiment(
        "inputs and outputs of the predictors", 12, _SSD + "ablation of targets", True
    ),
    "ssd-offset": Experiment("acceptance by offset, cost of K tokens", 16, _SSD + "figures 1 and 3"),
    "content-direction": Experiment("image content and direction of drafts", 16, _OPEN),
    "backbone": Experiment("spatial drafts for a stronger backbone", 8, _OPEN),
}  # fmt: skip


def function_of(name: str) -> Callable[[ExperimentContext], Outcome]:
    """The function of an experiment. Imports them all, and with them torch."""
    from spatialspec.lab.reproduce import (
        backbone,
        content_direction,
        hawk_attention,
        hawk_fig4,
        hawk_fig5,
        hawk_fig6,
        hawk_sampling,
        hawk_table1,
        hawk_vsd,
        ssd_criterion,
        ssd_data,
        ssd_offset,
        ssd_rounds,
        ssd_rows,
        ssd_schedule,
        ssd_table1,
        ssd_target_space,
    )

    functions: dict[str, Callable[[ExperimentContext], Outcome]] = {
        "hawk-table1": hawk_table1.run,
        "hawk-fig4": hawk_fig4.run,
        "hawk-fig5": hawk_fig5.run,
        "hawk-fig6": hawk_fig6.run,
        "hawk-vsd": hawk_vsd.run,
        "hawk-attention": hawk_attention.run,
        "hawk-sampling": hawk_sampling.run,
        "ssd-table1": ssd_table1.run,
        "ssd-rounds": ssd_rounds.run,
        "ssd-criterion": ssd_criterion.run,
        "ssd-rows": ssd_rows.run,
        "ssd-schedule": ssd_schedule.run,
        "ssd-data": ssd_data.run,
        "ssd-target-space": ssd_target_space.run,
        "ssd-offset": ssd_offset.run,
        "content-direction": content_direction.run,
        "backbone": backbone.run,
    }
    return functions[name]
