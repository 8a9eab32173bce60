"""`spatialspec convert`: published checkpoints into folders that are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spatialspec.cli.display import say, waiting
from spatialspec.core.errors import printable
from spatialspec.core.grid import Grid


def convert(
    source: Annotated[
        str, typer.Argument(help="Published file or folder, OWNER/NAME or OWNER/NAME/FILE.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="Folder of the converted model.", show_default=False)],
    vq: Annotated[
        str | None,
        typer.Option(
            help="Image decoder. LlamaGen, Tar: vq_ds16_*.pt or vq_ds8_*.pt. Emu3: BAAI/Emu3-VisionTokenizer. Emu3.5: "
            "BAAI/Emu3.5-VisionTokenizer/model.ckpt."
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="ROWSxCOLUMNS", help="LlamaGen: grid of tokens. [default: from the file name]")
    ] = None,
    heads: Annotated[int | None, typer.Option(help="LlamaGen: attention heads. [default: from the width]")] = None,
) -> None:
    """Turn a published checkpoint into a folder that --model takes.

    The names of the tensors in SOURCE decide what it is. Janus-Pro of DeepSeek, Emu3-Gen and Emu3.5 of BAAI, Chameleon
    and Anole in Meta's layout: SOURCE is the folder. LlamaGen: SOURCE is the transformer (c2i_L_384.pt); Tar: its
    AR-DTok. OUT is a new folder. For Anole or Lumina-mGPT without an image decoder SOURCE is Meta's vqgan.ckpt and OUT
    their folder, for Lumina-mGPT 2.0 movqgan_270M.ckpt, for an AR-DTok ta_tok.pth. From a pickle only tensors are read,
    and no code is run.
    """
    grid = None if size is None else Grid.parse(size, "--size")
    with waiting(f"reading {printable(source)}"):  # imports torch
        from spatialspec.targets.originals.convert import convert as convert_any
        from spatialspec.targets.originals.source import PublishedSource
    found, decoder = (
        PublishedSource.find(source),
        None if vq is None else PublishedSource.find(vq),
    )  # fetched with a bar of their own
    with waiting(f"converting {printable(source)}"):
        what, line = convert_any(found, out, decoder, grid, heads)
    say(f"{source} is {what}")
    say(f"wrote {out}: {line}")
