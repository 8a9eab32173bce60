"""`spatialspec train draft`: heads and predictors for a frozen target, on one process or many."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spatialspec import devices
from spatialspec.cli import options
from spatialspec.cli.common import loading
from spatialspec.cli.display import progress
from spatialspec.cli.workplace import Steps, clocked, make_folder, typed, working_in
from spatialspec.core.errors import BadInput, printable
from spatialspec.drafts.registry import kinds, shipped

if TYPE_CHECKING:
    from spatialspec.core.interfaces import Target
    from spatialspec.drafts.image_folder import CaptionedImages

DRAFTERS = ", ".join(kind.name for kind in shipped())
HUB = "hub:"  # prefix of data sets on the Hub: a wrong path downloads nothing
Count = Annotated[int | None, typer.Option(help="Training images. [default: all, or 64 drawn from captions]")]


def draft(
    context: typer.Context,
    target: Annotated[str, typer.Option(help="Name or folder of the target.")] = "train/target/model",
    drafter: Annotated[str | None, typer.Option(help=f"{DRAFTERS}, or one of --plugin. [default: hawk]")] = None,
    data: Annotated[
        str, typer.Option(help="Folder with images and metadata.csv, or hub:OWNER/NAME, a data set.")
    ] = "train/data",
    self_distil: Annotated[
        Path | None, typer.Option(help="File of prompts: train on images that the target draws from them.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the drafts. [default: drafts/DRAFTER in the folder of the target]")
    ] = None,
    config: Annotated[str | None, typer.Option(help="Settings in YAML: a file, or a name such as hawk-paper.")] = None,
    pictures: Count = None,
    horizontal: Annotated[
        int | None, typer.Option(help="Heads to the right. [default: 2; 5 for ssd, 3 for hydra and eagle]")
    ] = None,
    vertical: Annotated[
        int | None, typer.Option(help="Heads down. [default: 2; 5 for ssd, 0 for hydra and eagle]")
    ] = None,
    decay: Annotated[
        float | None, typer.Option("--lambda", help="Weight of head k in the loss: LAMBDA^k. [default: 1]")
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="Folder for the target's states, computed once. [default: none, streamed]")
    ] = None,
    shard_target: Annotated[bool, typer.Option(help="Split the target over the processes (FSDP2).")] = False,
    dtype: Annotated[
        str | None,
        typer.Option(help="Type of the target: fp32, bf16 or fp16; drafts train in fp32. [default: as in generate]"),
    ] = None,
    tracker: Annotated[str | None, typer.Option(help="tensorboard, wandb or another tracker of accelerate.")] = None,
    steps: Steps = None,
    batch: Annotated[
        int | None, typer.Option(help="Images per step, over all processes. [default: the recipe's]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random choices. [default: 0]")] = None,
    plugin: options.Plugin = None,
) -> None:
    """Train the drafts of a target; resumes if interrupted.

    Hawk's heads and the spatial model train on real images, the others on images that the target draws. The method
    `spatial` needs no drafts. With several processes: `torchrun -m spatialspec train draft ...`.
    """
    with loading(target):
        from spatialspec.drafts.recipes import make_recipe, read_config
        from spatialspec.io.prompts import read_prompts
        from spatialspec.models import local_folder, model_folder

        settings = read_config(config) if config is not None else {}
        name = drafter or settings.pop("drafter", "hawk")
        known = list(kinds())
        if name not in known or name != settings.pop("drafter", name):
            raise BadInput(f"--drafter {name!r}", f"one of {', '.join(known)}, and that of --config")
        overrides: dict[str, int | float | None] = {"steps": steps, "batch": batch, "seed": seed}
        overrides |= {"horizontal": horizontal, "vertical": vertical, "decay": decay}
        listed = settings.pop("pictures", None)
        count = _count(listed if pictures is None else pictures)
        devices.dtype_name(dtype or devices.AUTO, "--dtype")
        model_folder(target, whole=False)
        if out is None and local_folder(target) is None:
            raise BadInput("no --out", "a folder for the drafts", f"{printable(target)} is a model of the Hub")
        folder = model_folder(target)
        prompts = None if self_distil is None else read_prompts(self_distil)
        out = out or folder / "drafts" / name

        from spatialspec.drafts.draft import accelerator, train_draft
        from spatialspec.drafts.training_data import TrainingData
        from spatialspec.targets.loading import load_target

        settings |= {option: value for option, value in overrides.items() if value is not None}
        recipe = make_recipe(kinds()[name].task().recipe_type, settings)
        make_folder(out)
        processes = accelerator(tracker, out / "logs")
        report = clocked() if processes.is_main_process else lambda line: None
        device = "cpu" if shard_target else str(processes.device)  # one device may be too small for the whole target
        model = load_target(folder, device, devices.dtype(dtype or devices.AUTO, processes.device))
        images = None if prompts is not None else _images(data, model, count, report)
    hub = data.removeprefix(HUB) if data.startswith(HUB) else None
    bar = partial(progress, timed=False)
    training = TrainingData(model, images, prompts, count, out / "state", features, shard_target, report, hub, bar)
    with working_in(out) if processes.is_main_process else nullcontext():
        train_draft(name, training, recipe, out, processes, typed(context))
    report(f"wrote {out}")


def _count(value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31):
        raise BadInput(f"--pictures {value!r}", "a whole number from 1")
    return value


def _images(data: str, model: Target, limit: int | None, report: Callable[[str], None]) -> CaptionedImages:
    """Training images, resized to the target's grid."""
    from spatialspec.drafts.corpus import image_size
    from spatialspec.drafts.hub import read_dataset
    from spatialspec.drafts.image_folder import load

    if data.startswith(HUB):
        return read_dataset(data.removeprefix(HUB), image_size(model), limit, report)
    return load(Path(data), image_size(model), report)
