"""Hawk's vertical cache: memory, accepted length and time against VSD, the number of vertical heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.paired import FIGURES, draw_all
from spatialspec.lab.reproduce.plots import lines
from spatialspec.lab.reproduce.report import Column, Table, Value
from spatialspec.methods.hawk import HawkHeads

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEEPEST = 3
COLUMNS = (
    Column(key="vsd", label="VSD"),
    Column(key="candidates", label="vertical candidates a"),
    Column(key="entries", label="entries of the cache"),
    Column(key="bytes", label="bytes of the cache", form="{:,}"),
)
ABOUT = (
    "Drafts of vertical heads are cached until their row is written. Head d needs d rows, so the cache has "
    "IW VSD (VSD + 1) / 2 entries. The paper states neither its VSD nor the cost and use of others. Its 134 MB of "
    "heads in FP16 are four of 4096 x 4096, which fits two to the right and two down."
)


def run(context: ExperimentContext) -> Outcome:
    """Hawk with 1, 2 and 3 vertical heads and as many vertical candidates, beside one head with as many candidates."""
    heads = context.find(HawkHeads, "hawk").config.vertical
    depths = range(1, min(heads, DEEPEST) + 1)
    method = {(d, a): f"hawk:vertical={d}:vertical_samples={a}" for a in depths for d in sorted({1, a})}
    paired = draw_all(context, list(method.values()))
    rows: list[dict[str, Value]] = []
    for (depth, candidates), name in method.items():
        entries = context.grid.columns * depth * (depth + 1) // 2
        held = entries * context.request.sampling.streams * context.target.width * context.target.dtype.itemsize
        facts: dict[str, Value] = {"vsd": depth, "candidates": candidates, "entries": entries, "bytes": held}
        rows.append(paired.row(name) | facts)
    table = Table(caption="Means over prompts, times medians:", columns=[*COLUMNS, *FIGURES], rows=rows)
    claims = [
        paired.more(
            f"VSD {a} accepts more than VSD 1 with as many candidates", method[a, a], method[1, a], "accepted_length",
            "tokens",
        )
        for a in depths[1:]
    ]  # fmt: skip

    def draw(plot: Figure) -> None:
        plot.set_size_inches(8.4, 3.8)
        left, right = plot.subplots(1, 2)
        accepted = {key: float(paired.mean(name, "accepted_length") or 0) for key, name in method.items()}
        series = {
            "VSD = a": ([*depths], [accepted[a, a] for a in depths]),
            "VSD = 1": ([*depths], [accepted[1, a] for a in depths]),
        }
        lines(left, series, "vertical candidates a", "accepted length")
        kilobytes = {depth: float(row["bytes"] or 0) / 1e3 for (depth, _), row in zip(method, rows, strict=True)}
        lines(right, {"cache": ([*kilobytes], [*kilobytes.values()])}, "VSD", "kB")

    notes = ["The cache has one entry for each stream of guidance."]
    if heads < DEEPEST:
        notes.append(
            f"The drafts have {heads} vertical heads, so VSD stops there: `spatialspec train draft --drafter hawk "
            f"--vertical {DEEPEST}` makes deeper ones, `--draft` takes them."
        )
    return Outcome(ABOUT, [table], claims, draw, notes)
