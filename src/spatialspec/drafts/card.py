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
from spatialspec.drafts.origin import Origin

if TYPE_CHECKING:
    from spatialspec.core.interfaces import Target
    from spatialspec.drafts.task import DraftTask

OPEN = "no licence is set here: their maker decides, who knows what the licences of the data allow."


def git_revision() -> str:
    """Revision of this source tree, marked where files were changed; "none" for an installed package."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=20)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        if not git("ls-files", Path(__file__).name):  # not a file of a repository, or of another one
            return "none"
        changes = " with changes" if git("status", "--porcelain", str(folder)) else ""
        return git("rev-parse", "--short=12", "HEAD") + changes
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

    It names a licence for the weights where that of the data is known; otherwise their maker chooses one.

    Args:
        title: headline.
        summary: paragraphs: content, purpose, limits.
        figures: names and values of measurements.
        commands: shell lines that made it.
        settings: recipe, seed included.
        data: origin of the images.
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


def draft_card(
    drafter: str, target: Target, task: DraftTask, parameters: int, step: int, figures: Mapping[str, float],
    command: str, machine: str,
) -> str:  # fmt: skip
    """Card of draft weights.

    Args:
        drafter: name of the algorithm.
        target: that they are for.
        task: of their training.
        parameters: their number.
        step: that the weights are from.
        figures: held-out.
        command: that made them.
        machine: kind of device and number of processes.
    """
    summary = (f"Drafts of the algorithm `{drafter}` for the target `{target.name}`: {task.summary}; "
               f"{parameters / 1e6:.2f} M parameters. They are of no use with another target.",)  # fmt: skip
    settings = (
        task.note,
        f"weights of step {step}, the best of those evaluated on held-out data",
        ", ".join(f"{key} {value}" for key, value in asdict(task.recipe).items()),
        f"target in {str(target.dtype).removeprefix('torch.')} on {machine}",
    )
    rows = [(name, f"{value:.3f}") for name, value in figures.items()]
    return card(f"{drafter} drafts for {target.name}", summary, rows, [command], settings, task.data)
