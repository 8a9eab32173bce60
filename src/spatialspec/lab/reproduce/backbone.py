"""Do spatial drafts help a stronger backbone? Methods with and without drafts from the row above."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.paired import draw_all
from spatialspec.lab.reproduce.plots import bars
from spatialspec.methods.hawk import HawkHeads
from spatialspec.methods.spatial_model.network import SpatialNetwork

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADS = ("heads", "medusa", "hawk")
PAIRS = (  # backbone, without and with spatial drafts
    ("SJD", "sjd:length=32:start=uniform", "sjd:length=32:start=above"),
    ("SCD", "scd:length=32:start=uniform", "scd:length=32:start=above"),
    ("SJD-PAC", "sjd-pac:length=32:start=uniform", "sjd-pac:length=32:start=above"),
)
OURS = ("jacobi:length=32", "spatial:budget=32")
LEARNT = ("spatial-model:budget=32", "spatial:start=spatial-model:budget=32")  # our draft model, alone and refined
ABOUT = (
    "The paper calls its backbone, Medusa's heads, weak, and leaves open whether spatial drafts help a stronger "
    "one. Jacobi refinement is one: it accepts several times as many tokens. Here it starts each new cell from the "
    "uniform distribution or from that of the cell above; `hawk` against `medusa` is the paper's own comparison, "
    "`spatial` our decoder, which refines copies of the cell above as `jacobi` does, or the guesses of our draft model."
)


def run(context: ExperimentContext) -> Outcome:
    """Every pair on the same prompts, under rejection where there is a choice."""
    pairs = ([HEADS] if context.has(HawkHeads) else []) + list(PAIRS)
    ours = [*OURS, *(LEARNT if context.has(SpatialNetwork) else ())]
    paired = draw_all(context, [method for _, *both in pairs for method in both] + ours)
    claims = [
        paired.more(f"spatial drafts save passes with {name}", without, with_them, "target_passes", "passes")
        for name, without, with_them in pairs
    ]
    claims.append(
        paired.more(
            "our decoder takes fewer passes than Jacobi refinement alone", OURS[0], OURS[1], "target_passes",
            "passes",
        )
    )  # fmt: skip
    if len(ours) > len(OURS):
        claims += [
            paired.more("our decoder saves passes with our draft model", *LEARNT, "target_passes", "passes"),
            paired.more(
                "our decoder takes fewer passes from the model's guesses than from copies", OURS[1], LEARNT[1],
                "target_passes", "passes",
            ),
        ]  # fmt: skip
    table = paired.table("Means over prompts, times medians:", (), {})

    def draw(plot: Figure) -> None:
        plot.set_size_inches(9, 3.8)
        names = [name for name, *_ in pairs]
        for axes, key in zip(plot.subplots(1, 2), ("target_passes", "accepted_length"), strict=True):
            without, with_them = ([paired.mean(pair[i], key) for pair in pairs] for i in (1, 2))
            our_means = [paired.mean(method, key) for method in ours]
            title, alone = key.replace("_", " "), [*without, *([None] * len(ours))]
            bars(axes, [*names, *ours], [*with_them, *our_means], alone, title, ("spatial drafts", "without"))

    notes = ["Every method here is exact. `jacobi` and `spatial` work under coupled noise only."]
    if HEADS not in pairs:
        notes.append("`medusa` and `hawk` were left out: there are no draft weights of Hawk.")
    if len(ours) == len(OURS):
        notes.append(
            "`spatial-model` was left out: there are no weights of our draft model; `--draft FOLDER` takes them."
        )
    return Outcome(ABOUT, [table], claims, draw, notes)
