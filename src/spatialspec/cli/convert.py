"""`spatialspec convert`: published checkpoints of PyTorch into safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spatialspec.cli.display import say, waiting
from spatialspec.core.errors import BadInput, printable
from spatialspec.core.grid import Grid


def convert(
    source: Annotated[Path, typer.Argument(help="Published checkpoint file.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="Folder of the converted model.", show_default=False)],
    vq: Annotated[Path | None, typer.Option(help="LlamaGen: image decoder, vq_ds16_*.pt or vq_ds8_*.pt.")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="ROWSxCOLUMNS", help="LlamaGen: grid of tokens. [default: from the file name]")
    ] = None,
    heads: Annotated[int | None, typer.Option(help="LlamaGen: attention heads. [default: from the width]")] = None,
) -> None:
    """Turn a published checkpoint into a folder that --model takes.

    LlamaGen: SOURCE is the transformer (c2i_L_384.pt), OUT a new folder. Chameleon, Anole, Lumina-mGPT: SOURCE is
    Meta's vqgan.ckpt, OUT the folder of the checkpoint that lacks an image decoder. The names of the tensors in SOURCE
    decide which of the two it is. From a pickle only tensors are read.
    """
    grid = None if size is None else Grid.parse(size, "--size")

    with waiting(f"converting {printable(source)}"):
        from spatialspec.targets.published import LLAMAGEN, VQGAN, identify

        kind = identify(source)
        if kind is LLAMAGEN:
            from spatialspec.targets.llamagen.convert import convert as convert_llamagen

            line = convert_llamagen(source, out, vq, grid, heads)
        elif kind is VQGAN:
            options = {"--vq": vq, "--size": grid, "--heads": heads}
            if foreign := [name for name, value in options.items() if value is not None]:
                raise BadInput(", ".join(foreign), f"no such option for {kind.what}", "leave it out")

            from spatialspec.targets.chameleon.files import convert as convert_chameleon

            convert_chameleon(source, out)
            line = "Chameleon's image decoder"
        else:
            raise BadInput(kind.what, f"{LLAMAGEN.what} or {VQGAN.what}", kind.advice, source)
    say(f"wrote {out}: {line}")
