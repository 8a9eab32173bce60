"""What a model knows, by the list in its folder: as words, or as a sheet of images. For words, imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spatialspec import arguments
from spatialspec.cli.common import loading
from spatialspec.cli.display import in_columns, progress, say
from spatialspec.cli.models import describe, line
from spatialspec.core.arguments import whole
from spatialspec.core.errors import BadInput, printable
from spatialspec.io.files import read_config
from spatialspec.io.outputs import check_output
from spatialspec.models import model_folder
from spatialspec.targets.icons.concepts import FILE, Concepts

if TYPE_CHECKING:
    from PIL.Image import Image

LIMIT = 64  # images on a sheet


def tell(model: str, style: str | None = None, out: Path | None = None, limit: int | None = None) -> None:
    """Print a model's line and what it knows, or draw a sheet of it.

    Args:
        model: name or folder.
        style: only what it knows in this style; None for all.
        out: PNG file for a sheet; None prints words.
        limit: images on the sheet; None for LIMIT.

    Raises:
        BadInput: no such model, file or style, a limit without a sheet, or an option for a model without a list.
    """
    folder = model_folder(model)
    if limit is not None:
        whole("--limit", limit, 1, arguments.IMAGES)
        if out is None:
            raise BadInput("--limit without --out", "both", "name the PNG file to write, or leave --limit out")
    if out is not None:
        check_output(out, ".png", "--out", [folder])
    concepts = Concepts.from_file(folder / FILE) if (folder / FILE).is_file() else None
    if concepts is None and (style is not None or out is not None):
        raise BadInput(f"the model {printable(model)}, which has no {FILE}", "one with a list of what it knows")
    if concepts is not None and style is not None:
        style = concepts.style_in(f"in {style}") or style
        arguments.among("--style", style, concepts.styles)
    if "transformer" in read_config(folder / "config.json"):
        line(f"{model}: {describe(folder)}")
    if concepts is None:
        return line(f"{model} has no list of what it knows: there is no {FILE} in its folder")
    _overview(concepts, style)
    if out is None:
        return _words(concepts, style)

    from spatialspec.cli.sheet import captioned
    from spatialspec.io.images import write_image

    prompts = concepts.examples(limit or LIMIT, style)
    sheet = captioned(prompts, _draw(model, prompts))
    write_image(out, sheet)
    say(f"wrote {out}: {len(prompts)} concepts ({sheet.width} x {sheet.height} pixels)")


def _overview(concepts: Concepts, style: str | None) -> None:
    """One line: how many concepts there are in each style."""
    counts = {one: sum(map(len, concepts.by_styles(one).values())) for one in concepts.styles}
    if style is not None:
        return line(f"{counts[style]:,} concepts in the drawing style {style}")
    each = ", ".join(f"{one} ({count:,})" for one, count in counts.items())
    line(f"{len(concepts.known):,} concepts, in the drawing styles {each}")


def _words(concepts: Concepts, style: str | None) -> None:
    """All concepts, in alphabetical order for each number of styles."""
    for count, names in concepts.by_styles(style).items():
        others = f" and {count - 1} more" * (count > 1)
        where = f"{count} style{'s' * (count > 1)}" if style is None else f"{style}{others}"
        say(f"in {where} ({len(names):,}):\n{in_columns(sorted(names))}")


def _draw(model: str, prompts: Sequence[str]) -> list[Image]:
    """One image for each prompt, with `spatial`; image i has seed i."""
    with loading(model):
        from spatialspec.measure.runs import draw
        from spatialspec.methods.method import Method
        from spatialspec.pipeline import SpatialPipeline
        from spatialspec.request import Request

        pipeline = SpatialPipeline.from_pretrained(model)
    target = pipeline.target
    request = Request(prompts, range(len(prompts)), target.default, target.grid)
    with progress(len(prompts) * target.grid.cells, timed=False) as report:
        return [sample.image for sample in draw(pipeline, Method.parse("spatial"), request, report)]
