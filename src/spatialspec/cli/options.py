"""Options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spatialspec import devices
from spatialspec.core.arguments import ENGINES
from spatialspec.methods.presets import PRESETS

_TYPES = ", ".join(devices.DTYPES)
QUALITIES = "; ".join(f"{name}: {p.passes} passes, gap {p.gap:+.2f}" for name, p in PRESETS.items())
Model = Annotated[str, typer.Option(help="Name, folder or OWNER/NAME on the Hub; `spatialspec models` lists names.")]
Draft = Annotated[
    str | None, typer.Option(help="Name, folder or OWNER/NAME of draft weights. [default: all of the model]")
]
DraftModel = Annotated[
    str | None,
    typer.Option(help="Name, folder or OWNER/NAME of a smaller model with the same image tokens, for `sibling`."),
]
Verifier = Annotated[
    str,
    typer.Option(
        help="coupled: identical to plain AR for the same seed, for seed-exact methods; rejection: AR's distribution."
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the first image.")]
FreshSeed = Annotated[int | None, typer.Option(help="Seed of the first image. [default: a fresh one, printed]")]
Guidance = Annotated[
    float | None, typer.Option(help="Classifier-free guidance, 0 to 100; 1 turns it off. [default: the model's]")
]
Temperature = Annotated[float | None, typer.Option(help="0 to 100; 0 is greedy. [default: the model's]")]
TopK = Annotated[int | None, typer.Option(help="Sample among the k likeliest; 0: among all. [default: the model's]")]
TopP = Annotated[float | None, typer.Option(help="Sample among the likeliest, up to this mass. [default: the model's]")]
MinP = Annotated[
    float | None, typer.Option(help="Drop tokens below this share of the largest probability. [default: the model's]")
]
NegativePrompt = Annotated[str, typer.Option(help="Text that guidance steers away from.")]
Size = Annotated[str | None, typer.Option(metavar="ROWSxCOLUMNS", help="Grid of image tokens. [default: the model's]")]
Height = Annotated[int | None, typer.Option(help="Height of the image in pixels, instead of --size.")]
Width = Annotated[int | None, typer.Option(help="Width of the image in pixels, instead of --size.")]
NumImages = Annotated[int, typer.Option(help="Images of each prompt.")]
Budget = Annotated[
    str | None,
    typer.Option(
        metavar="N|auto", help="Most drafted tokens in a pass; auto: as many as are fastest here, AR if none."
    ),
]
Tolerance = Annotated[
    float | None,
    typer.Option(help="Score gap to the best that a draft may have, per nat of entropy; 0: exact, inf: fastest."),
]
Quality = Annotated[
    str | None, typer.Option(help=f"Preset of spatial: {QUALITIES}. Measured on icons (576 tokens; AR: 576 passes).")
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:N or mps. [default: cuda or mps where there is one, else cpu]")
]
Engine = Annotated[str, typer.Option(help=f"How passes are run: {', '.join(ENGINES)}; auto captures on CUDA.")]
Dtype = Annotated[str | None, typer.Option(help=f"{_TYPES}. [default: fp32 on the CPU, else bf16]")]


def _run_plugins(paths: list[Path] | None) -> list[Path]:
    for path in paths or ():
        from spatialspec.plugins import load_file

        load_file(path.expanduser())
    return paths or []  # the oldest typer takes no None from a callback of a list


Plugin = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", callback=_run_plugins, is_eager=True, metavar="FILE",
        help="Python file that registers your methods, drafts or targets; may be repeated.",
    ),
]  # fmt: skip
Csv = Annotated[Path | None, typer.Option(help="CSV file for the images, one a line.")]
Json = Annotated[Path | None, typer.Option(help="JSON file for settings and figures.")]
