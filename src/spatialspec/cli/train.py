"""`spatialspec train ...`: the recipe of the embedded model, step by step. An interrupted step resumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spatialspec.cli.display import say, waiting
from spatialspec.cli.workplace import (
    Batch,
    Seed,
    SketchSteps,
    Steps,
    checked_numbers,
    clocked,
    make_folder,
    training_images,
    typed,
    working_in,
)
from spatialspec.core.errors import BadInput
from spatialspec.extras import need

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from spatialspec.drafts.image_folder import CaptionedImages
    from spatialspec.targets.icons.target import IconsTarget

MOST_WORDS = 1_000_000  # their memory is allocated at once
COMMAND = "command.txt"  # file in the folder of images and of the tokenizer, for the card of the target

app = typer.Typer(help="Train a model and its drafts.", rich_markup_mode=None, no_args_is_help=False)

Data = Annotated[Path, typer.Option(help="Folder with images and metadata.csv, as written by `train data`.")]


@app.callback(invoke_without_command=True)
def start(context: typer.Context) -> None:
    """Train a model and its drafts: data, tokenizer, target, prompts, draft, judge, in this order."""
    if context.invoked_subcommand is None:
        say(context.get_help())


@app.command("data")
def data(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for images and metadata.csv.")] = Path("train/data"),
    cache: Annotated[Path, typer.Option(help="Folder for downloaded packages.")] = Path("train/packages"),
    side: Annotated[int, typer.Option(help="Pixels a side, a multiple of 4.")] = 96,
) -> None:
    """Download drawings and render the training images."""
    need("lab")
    if not 16 <= side <= 1024 or side % 4:
        raise BadInput(f"--side {side}", "a multiple of 4 from 16 to 1024", "choose another")
    from spatialspec.io.files import write_text
    from spatialspec.lab.icons.data import prepare

    with working_in(out), waiting("fetching and drawing images"):
        try:
            splits = prepare(out, cache, side, clocked())
        except RuntimeError as error:  # a registry's client is missing or failed
            raise BadInput(str(error), "the packages that drawings come from", "check the network") from error
        write_text(out / COMMAND, typed(context) + "\n")
    say(", ".join(f"{name} {count}" for name, count in sorted(splits.items())) + f" images in {out}")


@app.command("tokenizer")
def tokenizer(
    context: typer.Context,
    data: Data = Path("train/data"),
    out: Annotated[Path, typer.Option(help="Folder of the resume state.")] = Path("train/tokenizer"),
    steps: Steps = None,
    batch: Batch = None,
    seed: Seed = 0,
) -> None:
    """Train the VQ tokenizer of the images."""
    need("lab")
    numbers = checked_numbers(steps=steps, batch=batch, seed=seed)
    make_folder(out)
    report = clocked()
    images = _with_left_out(training_images(data, report=report), report)
    from spatialspec.io.files import write_text
    from spatialspec.lab.icons.tokenizer import TokenizerRecipe, psnr, train
    from spatialspec.targets.icons.vq import VQConfig

    with working_in(out):
        with waiting("training the tokenizer"):
            model = train(images, out, VQConfig(), replace(TokenizerRecipe(), **numbers), report)
        what, held_out = _held_out(images)
        if len(held_out):
            say(f"held-out {what}: {psnr(model.eval(), held_out):.2f} dB on {len(held_out)} images")
        write_text(out / COMMAND, typed(context) + "\n")
    say(f"wrote {out}")


@app.command("target")
def target(
    context: typer.Context,
    data: Data = Path("train/data"),
    tokenizer: Annotated[Path, typer.Option(help="Folder written by `train tokenizer`.")] = Path("train/tokenizer"),
    out: Annotated[Path, typer.Option(help="Folder of the resume state; the model goes to OUT/model.")] = Path(
        "train/target"
    ),
    stages: Annotated[
        str | None, typer.Option(help="SIDE:BATCH:STEPS of every stage, separated by commas. [default: the recipe's]")
    ] = None,
    sketch_steps: SketchSteps = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Train a draft model for this one, with its image tokens, prompts, sketch."),
    ] = None,
    width: Annotated[int, typer.Option(help="Width of the transformer.")] = 256,
    layers: Annotated[int, typer.Option(help="Layers of the transformer.")] = 6,
    words: Annotated[int, typer.Option(help="Vocabulary of the prompt tokenizer (BPE).")] = 4096,
    guidance: Annotated[float, typer.Option(help="Default guidance of the model.")] = 2.0,
    temperature: Annotated[float, typer.Option(help="Default temperature of the model.")] = 0.6,
    compile: Annotated[bool, typer.Option(help="Compile the loss; needs a C++ compiler.")] = True,
    seed: Seed = 0,
    name: Annotated[str, typer.Option(help="Name of the model.")] = "icons",
) -> None:
    """Train the AR target and export it.

    Its grid is that of the last of --stages.
    """
    need("lab")
    numbers = checked_numbers(width=width, layers=layers, words=words, seed=seed, sketch_steps=sketch_steps)
    if words > MOST_WORDS:
        raise BadInput(f"--words {words}", f"1 to {MOST_WORDS:,}", "choose another")
    if width % 16:
        raise BadInput(f"--width {width}", "a multiple of 16", "choose another")
    make_folder(out)
    from spatialspec.core.sampling import Sampling
    from spatialspec.io.files import read_text, write_text

    sampling = Sampling(guidance, temperature)
    from spatialspec.lab.icons.target import prompt_tokenizer, train
    from spatialspec.lab.icons.target_card import target_card
    from spatialspec.lab.icons.target_recipe import TargetRecipe, parse_stages
    from spatialspec.lab.icons.tokenizer import psnr, read_tokenizer
    from spatialspec.targets.icons.target import IconsTarget
    from spatialspec.targets.icons.transformer import GridTransformerConfig

    large = None if like is None else _like(like)
    vq = read_tokenizer(tokenizer) if large is None else large.vq
    recipe = TargetRecipe(seed=seed, compile=compile)
    recipe = recipe if stages is None else replace(recipe, stages=parse_stages(stages))
    if "sketch_steps" in numbers:
        recipe = replace(recipe, sketch=replace(recipe.sketch, steps=numbers["sketch_steps"]))
    side = recipe.stages[-1].side
    report = clocked()
    images = _with_left_out(training_images(data, side * vq.config.patch, report), report)
    what, held_out = _held_out(images)
    sizes = {"width": width, "layers": layers, "mlp_width": 3 * width, "rows": side, "columns": side}
    config = GridTransformerConfig(codes=vq.config.codes, **sizes)
    if large is None:
        with waiting("training the BPE of prompts"):
            prompts = prompt_tokenizer(images, words, config.prefix)
        config = replace(config, text_vocabulary=prompts.tokenizer.get_vocab_size())
    else:
        prompts, of = large.prompts, large.model.config
        taken = ("prefix", "text_vocabulary", "sketch_width", "sketch_layers", "rows", "columns")
        config = replace(config, **{name: getattr(of, name) for name in taken})
    with working_in(out):
        with waiting("training the target"):
            sketch = None if large is None else large.model.sketch
            model, figures = train(images, vq, prompts, out, config, recipe, report, sketch)
        trained = IconsTarget(name, model, vq, prompts, sampling)
        trained.concepts = None if large is None else large.concepts
        (out / "model" / "README.md").unlink(missing_ok=True)  # that of another model
        trained.save(out / "model")
        if len(held_out):
            figures = {f"reconstruction, held-out {what}": f"{psnr(vq, held_out):.2f} dB", **figures}
        earlier = [folder / COMMAND for folder in (data, tokenizer)]
        commands = [*(read_text(path).strip() for path in earlier if path.is_file()), typed(context)]
        write_text(out / "model" / "README.md", target_card(trained, recipe, figures, images, commands))
    say(f"wrote {out / 'model'}: draw with `spatialspec generate PROMPT --method ar --model {out / 'model'}`")


@app.command("judge")
def judge(
    data: Data = Path("train/data"),
    out: Annotated[Path, typer.Option(help="Folder of the judge.")] = Path("train/judge"),
    cache: Annotated[Path, typer.Option(help="Folder for image features, computed once.")] = Path("train/features"),
    epochs: Annotated[int | None, typer.Option(help="Passes over the images. [default: the recipe's]")] = None,
    batch: Batch = None,
    seed: Seed = 0,
) -> None:
    """Train the judge of text-image alignment."""
    need("lab")
    numbers = checked_numbers(epochs=epochs, batch=batch, seed=seed)
    make_folder(out)
    images = training_images(data)
    from spatialspec.lab.icons.judge import JudgeRecipe, train

    with working_in(out), waiting("training the judge"):
        train(images, out, replace(JudgeRecipe(), **numbers), clocked(), cache)
    say(f"wrote {out}")


def _like(name: str) -> IconsTarget:
    """The model that a draft model is trained for.

    Raises:
        BadInput: it is of another kind.
    """
    from spatialspec.models import model_folder
    from spatialspec.targets.icons.target import IconsTarget
    from spatialspec.targets.loading import load_target

    target = load_target(model_folder(name))
    if not isinstance(target, IconsTarget):
        raise BadInput(f"--like {name}", "icons, or a model that `train target` made", "choose another")
    return target


def _with_left_out(images: CaptionedImages, report: Callable[[str], None]) -> CaptionedImages:
    """Images with a held-out split; if the table has none, the last tenth is held out."""
    from spatialspec.drafts.task import HELD_OUT

    split = images.with_left_out(HELD_OUT, "pair", "concept")
    if split is not images:
        report(f"no split pair or concept: the last {len(split.select('pair').rows)} images are held out")
    return split


def _held_out(images: CaptionedImages) -> tuple[str, UInt8[np.ndarray, "N H W 3"]]:
    """Name and pixels of the evaluation images of the tokenizer: held-out concepts, else other held-out images."""
    concepts = images.select("concept").pixels
    return ("concepts", concepts) if len(concepts) else ("images", images.select("pair").pixels)
