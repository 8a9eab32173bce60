"""Cards of trained artefacts: command, data with licences, settings, seed, versions, figures."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from spatialspec import __version__
from spatialspec.drafts.origin import Origin, of_pictures

if TYPE_CHECKING:
    from spatialspec.drafts.image_folder import Pictures
    from spatialspec.drafts.lesson import Lesson
    from spatialspec.lab.icons.target_recipe import TargetRecipe
    from spatialspec.targets.icons.target import IconsTarget
OPEN = "no licence is set here: their maker decides, who knows what the licences of the data allow."


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
    data: Origin,
) -> str:
    """Render a card in Markdown.

    It names a licence for the weights where that of the data is known; otherwise it is for their maker to choose.

    Args:
        title: headline.
        summary: paragraphs: what it is, what it is for, where it falls short.
        figures: pairs of what was measured and what came out.
        commands: shell lines that made it.
        settings: recipe, seed included.
        data: where the pictures come from.
    """
    names = ("torch", "accelerate", "numpy", "tokenizers", "safetensors")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return "\n".join(
        [
            "---",
            *(["license: apache-2.0"] if data.shipped else []),
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
            f"Weights: {'Apache-2.0.' if data.shipped else OPEN}",
            *data.lines,
            "",
        ]
    )


def target_card(
    target: IconsTarget, recipe: TargetRecipe, figures: Mapping[str, str], pictures: Pictures, commands: Sequence[str]
) -> str:
    """Card of a target of the embedded model's recipe.

    Args:
        target: the finished target.
        recipe: settings.
        figures: held-out.
        pictures: of every split; those of the split train were learned from.
        commands: shell lines that made it.
    """
    c, count = target.model.config, sum(p.numel() for p in target.model.parameters())
    blocks = sum(p.numel() for p in target.model.blocks.parameters())
    sketch = sum(p.numel() for p in target.model.sketch.parameters())
    learned = pictures.select("train").rows
    left_out = len(pictures.select("pair", "concept").rows)
    data = of_pictures(learned)
    knows = "icons, emoji and clip art only" if data.shipped else f"what {len(learned)} pictures of its maker show"
    summary = (
        f"`{target.name}` draws small pictures from words: a VQ tokenizer ({c.codes} codes, {target.vq.config.patch} "
        f"pixels a cell) and an autoregressive transformer on a {target.grid} grid, {count / 1e6:.1f} M parameters, "
        f"of which {blocks / 1e6:.1f} M in the {c.layers} blocks that every image token passes. It knows {knows}: it "
        "is no model of pictures in general.",
        f"The size: {sketch / 1e6:.1f} M parameters sketch the caption once per prompt, and the text encoder and the "
        "tables cost nothing per image token either.",
        "What it has seen it knows nearly by heart; what was left out is the honest test."
        if left_out
        else "Nothing was left out: there are no held-out figures, and none of this says how it draws what is new.",
    )
    stages = ", then ".join(f"{s.steps} steps of {s.batch} pictures at {s.side} x {s.side}" for s in recipe.stages)
    settings = (
        f"{len(learned)} pictures to learn from, {left_out} left out; the sketch: {recipe.sketch.steps} steps of "
        f"{recipe.sketch.batch} pictures, AdamW {recipe.sketch.rate}, rate falling over the last "
        f"{recipe.sketch.fall:.0%}; then the transformer: {stages}; Muon {recipe.muon_rate} for matrices of blocks, "
        f"AdamW {recipe.adam_rate} for the rest; rate falls over the last {recipe.fall:.0%}; {recipe.drop:.0%} of "
        f"captions dropped; pictures moved by up to {recipe.shift} pixels each way; {recipe.noise:.0%} of the tokens "
        f"that are read taken from elsewhere in the picture; seed {recipe.seed}",
        f"recommended sampling: guidance {target.default.guidance}, temperature {target.default.temperature}",
    )
    return card(
        f"{target.name}: a small text-to-image target", summary, list(figures.items()), commands, settings, data
    )


def draft_card(
    drafter: str,
    target: str,
    lesson: Lesson,
    parameters: int,
    step: int,
    figures: Mapping[str, float],
    command: str,
    machine: str,
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
        machine: the target's type, kind of device and number of processes.
    """
    summary = (f"Drafts of the algorithm `{drafter}` for the target `{target}`: {lesson.summary}; "
               f"{parameters / 1e6:.2f} M parameters. They are of no use with another target.",)  # fmt: skip
    settings = (
        lesson.note,
        f"weights of step {step}, the best of those evaluated on held-out data",
        ", ".join(f"{key} {value}" for key, value in asdict(lesson.recipe).items()),
        machine,
    )
    rows = [(name, f"{value:.3f}") for name, value in figures.items()]
    return card(f"{drafter} drafts for {target}", summary, rows, [command], settings, lesson.data)
