"""Cards of trained artefacts: command, data with licences, settings, seed, versions, figures."""

from __future__ import annotations

import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from spatialspec import __version__
from spatialspec.training.sources import LABELS, SOURCES

if TYPE_CHECKING:
    from spatialspec.targets.icons import IconsTarget
    from spatialspec.training.lesson import Lesson
    from spatialspec.training.target_recipe import TargetRecipe


def credits(styles: Iterable[str]) -> list[str]:
    """One line per source of pictures in these styles, with licence and attribution."""
    wanted = set(styles)
    chosen = [s for s in SOURCES if s.style in wanted]
    return [f"- {s.package} {s.version} ({s.registry}), {s.licence}: {s.credit}" for s in (*chosen, LABELS)]


def shipped_pictures(styles: Iterable[str]) -> list[str]:
    """Lines of a card on the pictures of `icons`."""
    return ["Trained on renderings, 96 pixels a side on white, of these packages:", "", *credits(styles)]


def data_lines(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Lines of a card on the pictures of an ImageFolder: those of `icons` with credits, others with their licences."""
    styles = {row.get("style", "") for row in rows}
    if styles <= {source.style for source in SOURCES}:
        return shipped_pictures(styles)
    licences = Counter(row.get("licence") or "not stated" for row in rows)
    return [f"{len(rows)} pictures of its maker's own, by licence:", "", *(f"- {n} {c}" for n, c in licences.items())]


def git_revision() -> str:
    """Revision of the source tree that runs, marked where files were changed; "none" for an installed package."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", here, *arguments], capture_output=True, text=True, timeout=20)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        if not git("ls-files", Path(__file__).name):  # not a file of a repository, or of somebody else's
            return "none"
        return git("rev-parse", "--short=12", "HEAD") + (
            " with changes" if git("status", "--porcelain", str(here)) else ""
        )
    except (OSError, subprocess.TimeoutExpired):
        return "none"


def card(
    title: str,
    summary: Sequence[str],
    figures: Sequence[tuple[str, str]],
    commands: Sequence[str],
    settings: Sequence[str],
    data: Sequence[str],
) -> str:
    """Render a card in Markdown.

    Args:
        title: headline.
        summary: paragraphs: what it is, what it is for, where it falls short.
        figures: pairs of what was measured and what came out.
        commands: shell lines that made it.
        settings: recipe, seed included.
        data: lines on data, licences and attribution.
    """
    names = ("torch", "accelerate", "numpy", "tokenizers", "safetensors")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return "\n".join(
        [
            "---",
            "license: apache-2.0",
            "library_name: spatialspec",
            "---",
            "",
            f"# {title}",
            "",
            *(line for paragraph in summary for line in (paragraph, "")),
            "## Figures",
            "| what | figure |",
            "|---|---|",
            *(f"| {what} | {figure} |" for what, figure in figures),
            "",
            "## How it was made",
            *(f"    {command}" for command in commands),
            "",
            *(f"- {setting}" for setting in settings),
            f"- versions: spatialspec {__version__}, Python {platform.python_version()}, {versions}; "
            f"git revision: {git_revision()}",
            "",
            "## Pictures, licences, attribution",
            "Weights: Apache-2.0.",
            *data,
            "",
        ]
    )


def target_card(
    target: IconsTarget, recipe: TargetRecipe, figures: Mapping[str, str], pictures: int, styles: Iterable[str]
) -> str:
    """Card of a target of the embedded model's recipe."""
    c, count = target.model.config, sum(p.numel() for p in target.model.parameters())
    blocks = sum(p.numel() for p in target.model.blocks.parameters())
    sketch = sum(p.numel() for p in target.model.sketch.parameters())
    summary = (
        f"`{target.name}` draws small pictures from words: a VQ tokenizer ({c.codes} codes, {target.vq.config.patch} "
        f"pixels a cell) and an autoregressive transformer on a {target.grid} grid, {count / 1e6:.1f} M parameters, "
        f"of which {blocks / 1e6:.1f} M in the {c.layers} blocks that every image token passes. It is there to be "
        "decoded: a target of real behaviour that fits into a package. It knows icons, emoji and clip art only.",
        f"The size: {sketch / 1e6:.1f} M parameters sketch the caption once per prompt, and the text encoder and the "
        "tables cost nothing per image token either, so that a picture takes seconds on one processor core. The same "
        "blocks without a sketch drew the right textures in the wrong places (`docs/log.md`).",
        "What it has seen it knows nearly by heart; combinations of a known concept and a known style that it has not "
        "seen are the honest test. It is no model of pictures in general.",
    )
    stages = ", then ".join(f"{s.steps} steps of {s.batch} pictures at {s.side} x {s.side}" for s in recipe.stages)
    settings = (
        f"{pictures} pictures; the sketch: {recipe.sketch.steps} steps of {recipe.sketch.batch} pictures, AdamW "
        f"{recipe.sketch.rate}, rate falling over the last {recipe.sketch.fall:.0%}; then the transformer: {stages}; "
        f"Muon {recipe.muon_rate} for matrices of blocks, AdamW {recipe.adam_rate} for the rest; rate falls over the "
        f"last {recipe.fall:.0%}; {recipe.drop:.0%} of captions dropped; pictures moved by up to {recipe.shift} pixels "
        f"each way; {recipe.noise:.0%} of the tokens that are read taken from elsewhere in the picture; seed "
        f"{recipe.seed}",
        f"recommended sampling: guidance {target.default.guidance}, temperature {target.default.temperature}",
    )
    commands = ("spatialspec train data", "spatialspec train tokenizer", "spatialspec train target")
    return card(
        f"{target.name}: a small text-to-image target",
        summary,
        list(figures.items()),
        commands,
        settings,
        shipped_pictures(styles),
    )


def draft_card(
    drafter: str,
    target: str,
    lesson: Lesson,
    parameters: int,
    step: int,
    figures: Mapping[str, float],
    command: str,
    data: Sequence[str],
) -> str:
    """Card of draft weights.

    Args:
        drafter: name of the algorithm.
        target: name of the target.
        lesson: what they were trained by.
        parameters: their number.
        step: that the weights are from.
        figures: held-out.
        command: that made them.
        data: lines on data, licences and attribution.
    """
    summary = (f"Drafts of the algorithm `{drafter}` for the target `{target}`: {lesson.summary}; "
               f"{parameters / 1e6:.2f} M parameters. They are of no use with another target.",)  # fmt: skip
    settings = (
        lesson.note,
        f"weights of step {step}, the best of those evaluated on held-out data",
        ", ".join(f"{key} {value}" for key, value in asdict(lesson.recipe).items()),
    )
    rows = [(name, f"{value:.3f}") for name, value in figures.items()]
    return card(f"{drafter} drafts for {target}", summary, rows, [command], settings, data)
