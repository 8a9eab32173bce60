"""`spatialspec train prompts`: a finished target of the embedded model's recipe learns captions as people type them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from spatialspec.cli.display import say, waiting
from spatialspec.cli.train import Data
from spatialspec.cli.workplace import (
    Seed,
    SketchSteps,
    checked_numbers,
    clocked,
    make_folder,
    training_images,
    typed,
    working_in,
)
from spatialspec.core.errors import BadInput, printable
from spatialspec.extras import need


def prompts(
    context: typer.Context,
    target: Annotated[str, typer.Option(help="Folder of a model that `train target` made, or its name.")] = (
        "train/target/model"
    ),
    data: Data = Path("train/data"),
    out: Annotated[Path, typer.Option(help="Folder of the resume states; the model goes to OUT/model.")] = Path(
        "train/prompts"
    ),
    steps: Annotated[
        int | None, typer.Option(help="Optimiser steps of the text encoder. [default: the recipe's]")
    ] = None,
    sketch_steps: SketchSteps = None,
    seed: Seed = 0,
) -> None:
    """Train what reads the prompts of a target.

    The text encoder and the sketch learn captions as people type them; the transformer stays.
    """
    need("lab")
    numbers = checked_numbers(steps=steps, sketch_steps=sketch_steps, seed=seed)
    from spatialspec.io.files import read_text, write_text
    from spatialspec.lab.icons.prompts import PEOPLE, PromptRecipe, card, train
    from spatialspec.models import model_folder
    from spatialspec.targets.icons.target import IconsTarget
    from spatialspec.targets.loading import load_target

    folder = model_folder(target)
    model = load_target(folder)
    if not isinstance(model, IconsTarget):
        got = f"{printable(target)}, a model of another kind"
        raise BadInput(got, "one that `train target` made", "name its folder with --target")
    make_folder(out)
    recipe = PromptRecipe()
    if "sketch_steps" in numbers:
        recipe = replace(recipe, sketch=replace(recipe.sketch, steps=numbers.pop("sketch_steps")))
    recipe = replace(recipe, **numbers)
    images = training_images(data, model.grid.rows * model.patch)
    if not {"concept", "style", "tags"} <= images.rows[0].keys():
        raise BadInput("a table without some of these", "the columns concept, style, tags", "add them", data)
    with working_in(out):
        with waiting("training on prompts"):
            figures = train(images, model, list(PEOPLE), out, recipe, clocked())
        model.save(out / "model")
        before = read_text(folder / "README.md") if (folder / "README.md").is_file() else ""
        write_text(out / "model" / "README.md", card(before, typed(context), recipe, figures))
    say(f"wrote {out / 'model'}: draw with `spatialspec generate PROMPT --model {out / 'model'}`")
