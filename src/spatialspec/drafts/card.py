"""Cards of trained artefacts: command, data with licences and attribution, settings, seed, versions, figures."""

from __future__ import annotations

import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from spatialspec import __version__
from spatialspec.targets.icons.sources import LABELS, SOURCES

MAKERS = "by the licence that their table states:"


@dataclass(frozen=True)
class Origin:
    """Data of a training, as its card describes it.

    Attributes:
        lines: what it is, licences and attribution.
        shipped: whether all of it comes from `train data` and `train scenes`, whose licences are known.
    """

    lines: tuple[str, ...] = ()
    shipped: bool = False


def credits(styles: Iterable[str]) -> list[str]:
    """One line per source of images in these styles, with licence and attribution."""
    wanted = set(styles)
    chosen = [s for s in SOURCES if s.style in wanted]
    return [f"- {s.package} {s.version} ({s.registry}), {s.licence}: {s.credit}" for s in (*chosen, LABELS)]


def of_images(rows: Sequence[Mapping[str, str]], hub: str | None = None) -> Origin:
    """Origin of images.

    Args:
        rows: of their table, without those of unused images.
        hub: name of the data set on the Hub that they are from; None for a folder.
    """
    whose = f"of the data set {hub} on the Hub" if hub else "of the maker's own"
    return _origin(rows, f"{len(rows)} renderings, on white, of these packages:", f"{len(rows)} images {whose}")


def of_captions(rows: Sequence[Mapping[str, str]], hub: str | None = None) -> Origin:
    """Origin of images that the target drew from captions; `rows` has one for each, repeats included."""
    different = list({id(row): row for row in rows}.values())
    drawn = f"{len(rows)} images that the target drew itself, of captions of {len(different)} images"
    whose = f"in the data set {hub} on the Hub" if hub else "of the maker's own"
    return _origin(different, f"{drawn} that are renderings of these packages:", f"{drawn} {whose}")


def of_prompts(count: int) -> Origin:
    """Origin of images that the target drew from prompts in a file."""
    return Origin((f"Trained on images that the target drew itself, of {count} prompts in a file.",))


def _origin(rows: Sequence[Mapping[str, str]], shipped: str, other: str) -> Origin:
    """Known sources are recognised by the columns of `train data` and `train scenes`, and by style and licence."""
    known = {(source.style, source.licence) for source in SOURCES}
    if all(("concept" in row or "scene" in row) and (row.get("style"), row.get("licence")) in known for row in rows):
        return Origin((shipped, "", *credits(row["style"] for row in rows)), True)
    licences = Counter(row.get("licence") or "not stated" for row in rows)
    return Origin((f"{other}, {MAKERS}", "", *(f"- {name} {count}" for name, count in licences.items())))


if TYPE_CHECKING:
    from spatialspec.core.interfaces import Target
    from spatialspec.drafts.task import DraftTask

OPEN = "no licence is set here: their maker decides, as the licences of the data allow."


def git_revision() -> str:
    """Revision of this source tree, marked where files were changed; "none" for an installed package."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=20)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        if not git("ls-files", Path(__file__).name):  # an installed package, perhaps inside another repository
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

    The card names a licence for the weights if that of the data is known; otherwise their maker chooses one.

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
            "## Images, licences, attribution",
            f"Weights: {'Apache-2.0.' if data.shipped else OPEN}",
            *data.lines,
            "",
        ]
    )


def draft_card(
    drafter: str, target: Target, task: DraftTask, parameters: int, step: int, figures: Mapping[str, float],
    command: str, machine: str,
) -> str:  # fmt: skip
    """Card of draft weights: the best step of a training."""
    summary = (f"Drafts of the algorithm `{drafter}` for the target `{target.name}`: {task.summary}; "
               f"{parameters / 1e6:.2f} M parameters. They cannot be used with another target.",)  # fmt: skip
    settings = (
        task.note,
        f"weights of step {step}, the best of those evaluated on held-out data",
        ", ".join(f"{key} {value}" for key, value in asdict(task.recipe).items()),
        f"target in {str(target.dtype).removeprefix('torch.')} on {machine}",
    )
    rows = [(name, f"{value:.3f}") for name, value in figures.items()]
    return card(f"{drafter} drafts for {target.name}", summary, rows, [command], settings, task.data)
