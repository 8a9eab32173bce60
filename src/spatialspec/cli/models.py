"""`spatialspec models`: list models and their drafts, and what one of them knows. Reads headers and tables only."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from spatialspec.cli import options
from spatialspec.cli.display import say, waiting, wrapped
from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import read_config, read_text
from spatialspec.methods.registry import methods
from spatialspec.models import FAMILIES, WEIGHTS, embedded

SIZES = ("rows", "columns", "codes")
REMEDY = "install it again"


def models(
    model: Annotated[
        str | None,
        typer.Argument(help="Name or folder of one model, to list what it knows as well.", show_default=False),
    ] = None,
    style: Annotated[str | None, typer.Option(help="Only what the model knows in this drawing style.")] = None,
    out: Annotated[Path | None, typer.Option(help="PNG file: draw a sheet of what the model knows.")] = None,
    limit: Annotated[int | None, typer.Option(help="Images on the sheet. [default: 64]")] = None,
    plugin: options.Plugin = None,
) -> None:
    """List models and their drafts; with a model, what it knows.

    `spatialspec models icons` prints the concepts that icons was trained on, those known in most drawing styles first.
    With --out, some of them are drawn on a sheet instead, with spatial and from seed 0.
    """
    if model is not None:
        from spatialspec.cli.concepts import tell

        return tell(model, style, out, limit)
    for option, value in (("--style", style), ("--out", out), ("--limit", limit)):
        if value is not None:
            advice = f"give one, as in `spatialspec models icons {option} {value}`"
            raise BadInput(f"{option} without a model", "the name or folder of one", advice)
    names = embedded()
    line("models" if names else "models: none in this installation, use --model FOLDER")
    for name in names:
        line(f"  {name}: {describe(WEIGHTS / name)}")
    line("published checkpoints (--model OWNER/NAME or FOLDER); the method spatial needs no drafts with any of them")
    for name, family in FAMILIES.items():
        line(
            f"  {name}: {', '.join(family.checkpoints)}: grid {family.grid}, vocabulary {family.vocabulary}, "
            f"licence {family.licence}, no published drafts: train them"
            + (f"; convert {family.first} first" if family.first else "")
        )
    with waiting("reading methods"):  # imports torch
        table = methods()
    line(f"methods, for options see `spatialspec methods`: {', '.join(table)}")


def line(text: str) -> None:
    """Print a line, wrapped to the terminal."""
    say(wrapped(text, 4))


def describe(folder: Path) -> str:
    """One line on a model's folder.

    Raises:
        BadInput: a file of it is damaged.
    """
    from spatialspec.io.tensors import read_shapes

    where = folder / "config.json"
    sizes = read_config(where, ("transformer",), REMEDY)["transformer"]
    if not isinstance(sizes, dict) or not all(type(sizes.get(key)) is int for key in SIZES):
        raise BadInput(shown(sizes), f"the sizes of a model: {', '.join(SIZES)}", REMEDY, where)
    shapes = read_shapes(folder / "transformer.safetensors", REMEDY)
    drafts = sorted(path.parent.name for path in (folder / "drafts").glob("*/config.json"))
    return (
        f"grid {sizes['rows']}x{sizes['columns']}, vocabulary {sizes['codes']}, "
        f"{sum(map(math.prod, shapes.values())):,} parameters, licence {licence(folder)}, "
        f"drafts {', '.join(drafts) or 'none'}"
    )


def licence(folder: Path) -> str:
    """Licence in the first lines (`license: ...`) of the card."""
    card = folder / "README.md"
    lines = read_text(card, advice=REMEDY).splitlines()[:40] if card.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("license:")), "see its card")
