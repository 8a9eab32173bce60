"""Hawk's appendix D: effect of top-k and temperature on accepted length and on the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spatialspec.core.sampling import Sampling
from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.paired import PairedRun, draw_all
from spatialspec.lab.reproduce.report import Column, Table, Value
from spatialspec.lab.reproduce.verdict import Claim
from spatialspec.measure.intervals import Figure as Interval
from spatialspec.measure.intervals import mean_over_prompts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPERATURES = (1.0, 0.6, 0.2)
COLUMNS = (
    Column(key="setting", label="setting"),
    Column(key="top_k", label="top-k"),
    Column(key="temperature", label="temperature", form="{:g}"),
    Column(key="target_passes", label="passes", form="{:.1f}"),
    Column(key="accepted_length", label="accepted", form="{:.3f}"),
    Column(key="likelihood_gap", label="gap to all tokens", form="{:+.3f}"),
    Column(key="entropy", label="entropy", form="{:.3f}"),
    Column(key="distinct", label="distinct tokens of an image", form="{:.1%}"),
)
ABOUT = (
    "The paper shows images for top-k from 2000 to 1 and temperatures from 1 to 0.2, and no figures: large top-k "
    "is needed for quality but lowers acceptance, and greedy decoding is unusable."
)


def run(context: ExperimentContext) -> Outcome:
    """Hawk at every setting, beside AR at the same setting."""
    size = context.target.vocabulary
    few, fewer = max(size // 4, 2), max(size // 64, 2)
    shares = (size, fewer, 1) if context.quick else (size, few, fewer, 1)
    temperatures = TEMPERATURES[::2] if context.quick else TEMPERATURES
    default = context.request.sampling
    settings = {f"top-k {k}": replace(default, top_k=k) for k in shares}
    settings |= {f"T {t:g}": replace(default, temperature=t) for t in temperatures}
    runs = draw_settings(context, settings)
    rows: list[dict[str, Value]] = []
    for name, paired in runs.items():
        setting: dict[str, Value] = {
            "setting": name,
            "top_k": settings[name].top_k,
            "temperature": settings[name].temperature,
        }
        rows.append(paired.row("hawk") | setting | {"distinct": float(np.mean(distinct(paired)))})
    table = Table(caption="Hawk, means over prompts:", columns=list(COLUMNS), rows=rows)
    every, some, one = (f"top-k {k}" for k in (size, fewer, 1))
    warm, cold = (f"T {t:g}" for t in (temperatures[0], temperatures[-1]))
    accepted = {name: np.array(paired.values("hawk", "accepted_length")) for name, paired in runs.items()}

    def claim(text: str, difference: np.ndarray, unit: str) -> Claim:
        figure: Interval | None = mean_over_prompts(difference, range(len(difference)))
        return Claim(text, figure, len(difference), unit)

    claims = [
        claim(f"Hawk accepts more at {some} than at {every}", accepted[some] - accepted[every], "tokens"),
        claim(f"Hawk accepts more at {cold} than at {warm}", accepted[cold] - accepted[warm], "tokens"),
        claim(
            f"images are poorer at {one} than at {every}: fewer of an image's tokens are distinct",
            distinct(runs[every]) - distinct(runs[one]), "of all cells",
        ),
    ]  # fmt: skip

    def draw(plot: Figure) -> None:
        plot.set_size_inches(1.6 * len(runs), 4.6)
        parts: Any = plot.subfigures(2, 1, height_ratios=(3, 2))
        above, below = parts
        axes = above.subplots()
        axes.bar(range(len(runs)), [float(np.mean(accepted[name])) for name in runs], color="#2166ac")
        axes.set_xticks(range(len(runs)), list(runs), fontsize=8)
        axes.set(ylabel="accepted length", ylim=(1, None))
        for panel, paired in zip(below.subplots(1, len(runs), squeeze=False)[0], runs.values(), strict=True):
            panel.imshow(paired.samples["hawk"][0].image)
            panel.axis("off")

    notes = [
        f"top-k {size} includes every token of this target. The gap is to the distribution without top-k, at the same "
        "temperature: below 0 the images are likelier than AR's.",
        f"The images are those of “{context.request.prompts[0]}”.",
    ]
    return Outcome(ABOUT, [table], claims, draw, notes)


def draw_settings(context: ExperimentContext, settings: Mapping[str, Sampling]) -> dict[str, PairedRun]:
    """Hawk at every setting; equal settings under two names are drawn once.

    Args:
        context: target, drafts, prompts.
        settings: by name; a top-k of the whole vocabulary counts as no top-k.
    """
    size = context.target.vocabulary
    plain = {name: replace(s, top_k=s.top_k if s.top_k < size else 0) for name, s in settings.items()}
    drawn: dict[Sampling, PairedRun] = {}
    for s in dict.fromkeys(plain.values()):
        drawn[s] = draw_all(replace(context, request=replace(context.request, sampling=s)), ["hawk"])
    return {name: drawn[s] for name, s in plain.items()}


def distinct(paired: PairedRun) -> np.ndarray:
    """Share of an image's tokens that are distinct, for each image of Hawk."""
    return np.array([len(set(s.drawn.tokens)) / len(s.drawn.tokens) for s in paired.samples["hawk"]])
