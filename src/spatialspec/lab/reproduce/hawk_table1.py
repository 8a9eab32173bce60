"""Hawk's table 1: speed-up, accepted length and quality of AR, Medusa, vertical heads, LANTERN++ and Hawk."""

from __future__ import annotations

from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.paired import draw_all
from spatialspec.lab.reproduce.plots import compare
from spatialspec.lab.reproduce.report import Column, Value

LANTERN = "lantern++:k=10:factor=2:vertical=0:vertical_samples=0:horizontal_samples=2"  # on Medusa's heads
PAPER: dict[str, dict[str, Value]] = {
    "ar": {"paper_time": 1.00, "paper_accepted": 1.0, "paper_fid": 90.68, "paper_clip": 33.43},
    "medusa": {"paper_time": 1.58, "paper_accepted": 1.728, "paper_fid": 92.51, "paper_clip": 33.34},
    "hawk-vertical": {"paper_time": 1.58, "paper_accepted": 1.726, "paper_fid": 91.46, "paper_clip": 33.33},
    LANTERN: {"paper_time": 1.69, "paper_accepted": 1.863, "paper_fid": 93.22, "paper_clip": 33.08},
    "hawk": {"paper_time": 1.71, "paper_accepted": 1.890, "paper_fid": 90.71, "paper_clip": 33.39},
}
COLUMNS = (
    Column(key="paper_time", label="paper: x time", form="{:.2f}"),
    Column(key="paper_accepted", label="paper: accepted", form="{:.3f}"),
    Column(key="paper_fid", label="paper: FID", form="{:.2f}"),
    Column(key="paper_clip", label="paper: CLIP", form="{:.2f}"),
)
ABOUT = (
    "On Lumina-mGPT-7B (48 x 48, top-k 2000, T = 1, guidance 3, one RTX 3090) Hawk accepts 1.89 tokens a pass, more "
    "than horizontal heads alone (Medusa), vertical heads alone, and LANTERN++, which is not exact, and its "
    "images are as good as AR's. The paper's figures are those on COCO."
)


def run(context: ExperimentContext) -> Outcome:
    """Every method on every prompt, under rejection, as in the paper."""
    paired = draw_all(context, list(PAPER))
    claims = [
        paired.more(f"Hawk accepts more tokens than {name}", "hawk", other, "accepted_length", "tokens")
        for name, other in (("Medusa", "medusa"), ("vertical heads", "hawk-vertical"), ("LANTERN++", LANTERN))
    ]
    claims += [
        paired.near("Hawk's images are as likely as AR's", "hawk"),
        paired.nearer("Hawk is closer to AR in likelihood than LANTERN++", "hawk", LANTERN),
    ]
    table = paired.table("Means over prompts, times medians:", COLUMNS, PAPER)
    panels = [("accepted_length", "paper_accepted"), ("speedup_seconds", "paper_time"), ("likelihood_gap", "")]
    notes = [
        "Two candidates per depth for every method; the paper states neither the number of candidates nor of heads.",
        "Accepted length counts the target's own token: AR has 1. Only times depend on the machine.",
    ]
    return Outcome(ABOUT, [table], claims, lambda plot: compare(plot, table, panels), notes)
