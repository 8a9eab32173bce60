"""`spatialspec convert`: published checkpoints of PyTorch into safetensors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid


@dataclass(frozen=True)
class Converter:
    """One kind of checkpoint.

    Attributes:
        what: for messages.
        function: `module:function`, called with source, folder and the options that were given.
        options: those that it takes.
    """

    what: str
    function: str
    options: tuple[str, ...] = ()


CONVERTERS = {
    "llamagen": Converter("LlamaGen", "spatialspec.targets.llamagen_convert:convert", ("vq", "size", "heads")),
    "chameleon": Converter("Chameleon's picture decoder", "spatialspec.targets.chameleon_files:convert"),
}


def choose(out: Path) -> Converter:
    """A checkpoint of Chameleon's family that is there wants its picture decoder; a new folder is for LlamaGen."""
    config = out / "config.json"
    if not config.is_file():
        return CONVERTERS["llamagen"]
    try:
        found = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"a file that does not parse ({error})", "JSON", where=config) from error
    return CONVERTERS["chameleon" if isinstance(found, dict) and "vq_config" in found else "llamagen"]


def convert(
    source: Annotated[Path, typer.Argument(help="The published file.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="Folder of the model.", show_default=False)],
    vq: Annotated[Path | None, typer.Option(help="LlamaGen: its picture decoder, vq_ds16_*.pt or vq_ds8_*.pt.")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="ROWSxCOLUMNS", help="LlamaGen: its grid. [default: by the file's name]")
    ] = None,
    heads: Annotated[int | None, typer.Option(help="LlamaGen: attention heads. [default: by its width]")] = None,
) -> None:
    """Turn a published checkpoint into a folder that --model takes.

    LlamaGen: SOURCE is the transformer (c2i_L_384.pt), OUT a new folder. Chameleon, Anole, Lumina-mGPT: SOURCE is
    Meta's vqgan.ckpt, OUT the folder of the checkpoint that wants a picture decoder. Of a pickle only tensors are read.
    """
    converter = choose(out)
    grid = None if size is None else Grid.parse(size)
    given: dict[str, Any] = {"vq": vq, "size": grid, "heads": heads}
    given = {name: value for name, value in given.items() if value is not None}
    foreign = [f"--{name}" for name in given if name not in converter.options]
    if foreign:
        raise BadInput(f"{', '.join(foreign)}", f"none of it for {converter.what}", "leave it out")
    module, _, name = converter.function.partition(":")
    line = getattr(import_module(module), name)(source, out, **given)
    typer.echo(f"wrote {out}: {line or converter.what}")
