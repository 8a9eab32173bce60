"""`spatialspec train scenes` and `train scene-judge`: composed scenes, and a judge trained on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from spatialspec.cli.display import say, waiting
from spatialspec.cli.workplace import Batch, Seed, checked_numbers, clocked, make_folder, training_images, working_in
from spatialspec.core.errors import BadInput
from spatialspec.extras import need

MOST = 1_000_000  # scenes, one file each


def scenes(
    out: Annotated[Path, typer.Option(help="Folder for images and metadata.csv.")] = Path("train/scenes"),
    cache: Annotated[Path, typer.Option(help="Folder for downloaded packages.")] = Path("train/packages"),
    count: Annotated[int, typer.Option(help="Training scenes; each held-out split has 15 % as many.")] = 4000,
    side: Annotated[int, typer.Option(help="Pixels a side, a multiple of 4.")] = 96,
    seed: Seed = 0,
) -> None:
    """Compose scenes of known count, colour and position.

    Downloads the packages of `train data` that are not in --cache.
    """
    need("lab")
    checked_numbers(count=count, seed=seed)
    if count > MOST:
        raise BadInput(f"--count {count}", f"1 to {MOST:,}", "choose another")
    if not 16 <= side <= 1024 or side % 4:
        raise BadInput(f"--side {side}", "a multiple of 4 from 16 to 1024", "choose another")
    make_folder(out)
    from spatialspec.lab.scenes.cut_outs import read_cut_outs
    from spatialspec.lab.scenes.scenes import write_scenes

    report = clocked()
    with working_in(out), waiting("composing scenes"):
        try:
            cut_outs = read_cut_outs(cache, side, report)
        except RuntimeError as error:  # a registry's client is missing or failed
            raise BadInput(str(error), "the packages that drawings come from", "check the network") from error
        write_scenes(cut_outs, out, count, side, seed, report)
    say(f"wrote {out}")


def scene_judge(
    data: Annotated[Path, typer.Option(help="Folder that `train scenes` wrote.")] = Path("train/scenes"),
    out: Annotated[Path, typer.Option(help="Folder of the judge.")] = Path("train/scene-judge"),
    cache: Annotated[Path, typer.Option(help="Folder for feature maps, computed once.")] = Path("train/features"),
    epochs: Annotated[int | None, typer.Option(help="Passes over the scenes. [default: the recipe's]")] = None,
    batch: Batch = None,
    seed: Seed = 0,
) -> None:
    """Train the judge of scenes; resumes if interrupted."""
    need("lab")
    numbers = checked_numbers(epochs=epochs, batch=batch, seed=seed)
    make_folder(out)
    images = training_images(data)
    from spatialspec.lab.scenes.scene_judge import SceneJudgeRecipe, train

    with working_in(out):
        train(images, out, replace(SceneJudgeRecipe(), **numbers), clocked(), cache)
    say(f"wrote {out}: `spatialspec evaluate --scenes {out}`")
