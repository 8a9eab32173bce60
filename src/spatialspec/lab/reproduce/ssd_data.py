"""SSD's ablation of data: predictors trained on different numbers of images, from several folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spatialspec.core.errors import BadInput
from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.folders import compare_folders, open_folders
from spatialspec.lab.reproduce.paired import nearer
from spatialspec.lab.reproduce.plots import lines, powers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAKE = (
    "`spatialspec train draft --target MODEL --drafter ssd --self-distil PROMPTS --pictures N --out FOLDER` for "
    "several N"
)
PAPER = {5000: 54.67, 10000: 61.25, 20000: 64.20, 30000: 65.50, 60000: 71.65}
ABOUT = (
    "On Janus-Pro-7B without rounds, DPG-Bench rises with the number of images that predictors are trained on, "
    "from 54.67 with 5,000 to 71.65 with 60,000, and is not yet saturated there."
)


def run(context: ExperimentContext) -> Outcome:
    """SSD without rounds with the predictors of every folder.

    Raises:
        BadInput: fewer than two folders, two of one size, or a card without the number of images.
    """
    folders = sorted(((folder.images, folder) for folder in open_folders(context, MAKE)), key=lambda pair: pair[0])
    sizes = [count for count, _ in folders]
    if len(set(sizes)) < len(sizes):
        raise BadInput(f"drafts trained on {sizes} images", "a different number for each folder", "leave some out")
    names = {f"{count:,}": folder for count, folder in folders}
    paper = {f"{count:,}": dpg for count, dpg in PAPER.items()}
    table, away = compare_folders(context, names, paper, "images")
    small, large = f"{sizes[0]:,}", f"{sizes[-1]:,}"
    claims = [nearer(f"{large} images bring SSD closer to AR than {small}", away[large], away[small])]
    if len(sizes) > 2:
        before = f"{sizes[-2]:,}"
        claims.append(nearer(f"{large} images still bring it closer than {before}", away[large], away[before]))

    def draw(plot: Figure) -> None:
        plot.set_size_inches(8.4, 3.8)
        left, right = plot.subplots(1, 2)
        down, gap = ([float(row[key] or 0) for row in table.rows] for key in ("down", "likelihood_gap"))
        lines(left, {"down 1": (sizes, down)}, "training images", "accepted probability")
        lines(right, {"SSD, no rounds": (sizes, gap)}, "training images", "likelihood gap, nats")
        for axes in (left, right):
            powers(axes, sizes)

    notes = [
        "Our predictors are smaller than the paper's (d = 4096) and see far fewer images: only the trend compares."
    ]
    return Outcome(ABOUT, [table], claims, draw, notes)
