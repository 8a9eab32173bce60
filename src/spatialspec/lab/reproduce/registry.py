"""The table of experiments: what each asks, where it is, and how many prompts it takes by default.

A new experiment is one file with a function `Lab -> Outcome` and one line here. Nothing in this file imports one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """An experiment.

    Attributes:
        summary: one line for help and pages.
        where: `module:function`.
        prompts: how many it takes by default; at most 15 minutes on two cores with the embedded model.
        source: paper, and what of it.
        folders: whether it compares drafts from several folders.
    """

    summary: str
    where: str
    prompts: int
    source: str
    folders: bool = False


_R = "spatialspec.lab.reproduce."
_HAWK, _SSD = "Hawk, arXiv 2510.25739, ", "SSD, arXiv 2606.20543, "
_OPEN = _HAWK + "an open question"

EXPERIMENTS: dict[str, Entry] = {
    "hawk-table1": Entry("AR, Medusa, vertical heads, LANTERN++, Hawk", _R + "hawk_table1:run", 12, _HAWK + "table 1"),
    "hawk-fig4": Entry("loss of heads by direction and depth", _R + "hawk_fig4:run", 64, _HAWK + "figure 4"),
    "hawk-fig5": Entry("where horizontal and vertical drafts differ", _R + "hawk_fig5:run", 16, _HAWK + "figure 5"),
    "hawk-fig6": Entry("rejection against the number of candidates", _R + "hawk_fig6:run", 16, _HAWK + "figure 6"),
    "hawk-vsd": Entry("depth of the vertical cache: memory and use", _R + "hawk_vsd:run", 10, _HAWK + "section 3.3"),
    "hawk-attention": Entry("where a cell looks", _R + "hawk_attention:run", 16, _HAWK + "figures 1 and 7"),
    "hawk-sampling": Entry("top-k, temperature and acceptance", _R + "hawk_sampling:run", 6, _HAWK + "appendix D"),
    "ssd-table1": Entry("AR, 1D-MTP, SJD, GSD, LANTERN, ZipAR, SSD", _R + "ssd_table1:run", 10, _SSD + "main table"),
    "ssd-rounds": Entry("rounds of correction r", _R + "ssd_rounds:run", 12, _SSD + "ablation of r"),
    "ssd-criterion": Entry("AR, strict verification, auto-correction", _R + "ssd_criterion:run", 12, _SSD + "table 4"),
    "ssd-rows": Entry("rows drafted at once k_v", _R + "ssd_rows:run", 12, _SSD + "ablation of k_v"),
    "ssd-schedule": Entry("two rows, joint or staged", _R + "ssd_schedule:run", 12, _SSD + "ablation of schedules"),
    "ssd-data": Entry("number of training pictures", _R + "ssd_data:run", 12, _SSD + "ablation of data", True),
    "ssd-target-space": Entry(
        "what is read and predicted", _R + "ssd_target_space:run", 12, _SSD + "ablation of targets", True
    ),
    "ssd-offset": Entry("acceptance by offset, cost of K tokens", _R + "ssd_offset:run", 16, _SSD + "figures 1 and 3"),
    "content-direction": Entry("content and direction", _R + "content_direction:run", 16, _OPEN),
    "backbone": Entry("spatial drafts for a stronger backbone", _R + "backbone:run", 8, _OPEN),
}  # fmt: skip
