"""Shared parts of the `train` commands: numbers, images, output folder."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spatialspec.cli.display import resumable, say, waiting
from spatialspec.core.errors import BadInput, printable

if TYPE_CHECKING:
    from spatialspec.drafts.image_folder import CaptionedImages

Steps = Annotated[int | None, typer.Option(help="Optimiser steps. [default: the recipe's]")]
Batch = Annotated[int | None, typer.Option(help="Images per step. [default: the recipe's]")]
SketchSteps = Annotated[int | None, typer.Option(help="Optimiser steps of the sketch. [default: the recipe's]")]
Seed = Annotated[int, typer.Option(help="Seed of all random choices.")]


def clocked() -> Callable[[str], None]:
    """A function that prints progress lines with the seconds since this call."""
    start = time.monotonic()

    def report(line: str) -> None:
        say(f"{time.monotonic() - start:7.0f} s  {line}")

    return report


def checked_numbers(**values: int | None) -> dict[str, Any]:
    """The options that are not None, checked: a seed from 0, everything else from 1.

    Raises:
        BadInput: a number is out of range.
    """
    numbers = {name: value for name, value in values.items() if value is not None}
    for name, value in numbers.items():
        if value < (name != "seed") or value >= 2**31:
            least = int(name != "seed")
            option = "--" + name.replace("_", "-")
            raise BadInput(f"{option} {value}", f"{least} to 2^31 - 1", "choose another")
    return numbers


def make_folder(path: Path) -> None:
    """Make the output folder now, so that a wrong path is found before the training."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {path}", f"a folder to write to ({error.strerror})", "choose another") from error


@contextmanager
def working_in(out: Path) -> Iterator[None]:
    """Write to a folder as its only process; Ctrl-C prints how to resume.

    Raises:
        BadInput: it cannot be made, or another process writes to it.
    """
    from spatialspec.io.processes import alone

    make_folder(out)
    with alone(out), resumable(f"stopped: finished work is saved in {out}, run the same command to resume"):
        yield


def typed(context: typer.Context) -> str:
    """The command line for a card: typed options, and only the last part of absolute paths."""
    words = ["spatialspec", "train", str(context.info_name)]
    for option in context.command.params:
        source, value = context.get_parameter_source(str(option.name)), context.params[str(option.name)]
        if source is None or source.name != "COMMANDLINE":
            continue
        if isinstance(value, bool):
            words.append((option.opts if value else option.secondary_opts)[0])
            continue
        for one in value if isinstance(value, list) else [value]:
            words += [option.opts[0], Path(str(one)).name if Path(str(one)).is_absolute() else str(one)]
    return shlex.join(words)


def training_images(folder: Path, side: int = 96, report: Callable[[str], None] = say) -> CaptionedImages:
    """Images of a folder, as squares of `side` pixels a side; unusable ones are counted and reported.

    Raises:
        BadInput: there is no training image.
    """
    with waiting(f"reading the images of {printable(folder)}"):
        from spatialspec.drafts.image_folder import load

        images = load(folder, side, report)
    if not images.select("train").rows:
        raise BadInput("no image of the split train", "some", "check metadata.csv", where=folder)
    return images
