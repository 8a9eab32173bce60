"""Files of a model, before anything is loaded: which kind it is, what is missing, cut off, or does not belong there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatialspec.core.errors import BadInput
from spatialspec.doctor.report import Finding
from spatialspec.files import inside, read_config
from spatialspec.targets.loading import kind_of
from spatialspec.targets.registry import TargetKind
from spatialspec.tensors import read_shapes

SINGLE, INDEX, CODEC = "model.safetensors", "model.safetensors.index.json", "vq.safetensors"
CAPTIONS = "captions.safetensors"  # LlamaGen's, read where it is there
WITH_CODEC = ("chameleon", "lumina_mgpt")  # whose picture decoder may lie beside the shards
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")  # reading one may run code
FETCH = "fetch it again"


@dataclass(frozen=True)
class Folder:
    """A model's folder whose kind is known.

    Attributes:
        path: of it.
        kind: of the model.
        config: what config.json holds.
    """

    path: Path
    kind: TargetKind
    config: dict[str, Any]

    @property
    def weights(self) -> list[str]:
        """Names of the files that hold its weights.

        Raises:
            BadInput: the index of the shards is damaged.
        """
        if self.kind.files is not None:
            return [name for name in self.kind.files if name.endswith(".safetensors")]
        index, names = self.path / INDEX, [SINGLE]
        if index.is_file() and not (self.path / SINGLE).is_file():
            table = read_config(index, ("weight_map",))["weight_map"]
            if not isinstance(table, dict) or not table:
                raise BadInput("no file names", "some in weight_map", f"{FETCH}", where=index)
            for name in table.values():
                inside(self.path, name, f"{index}: weight_map")
            names = sorted(set(table.values()))
        beside = self.kind.name in WITH_CODEC and (self.path / CODEC).is_file()
        return [*names, CODEC] if beside else names

    @property
    def needed(self) -> list[str]:
        """Names of all files that must be there."""
        return [*self.weights, "tokenizer.json"] if self.kind.files is None else list(self.kind.files)


def open_folder(path: Path) -> Folder:
    """Find out which kind of model a folder holds.

    Raises:
        BadInput: config.json is missing, damaged, or that of an unknown kind.
    """
    config = read_config(path / "config.json", ())
    return Folder(path, kind_of(config), config)


def check_files(folder: Folder) -> Iterator[Finding]:
    """Presence and wholeness of every file that is read, and files that do not belong there."""
    weights = folder.weights
    there = {path.name for path in folder.path.iterdir() if path.is_file()}
    missing = [f"{SINGLE} or {INDEX}" if name == SINGLE else name for name in folder.needed if name not in there]
    pickles = sorted(name for name in there if name.endswith(PICKLES))
    check, expected = "files", "all, whole, weights in safetensors"
    if missing:
        instead = f"; {_list(pickles)} is no safetensors" if pickles and not there.issuperset(weights) else ""
        advice = "fetch the safetensors of this model, or see `spatialspec convert`" if instead else "fetch them"
        got = f"no {_list(missing)}{instead}"
        yield Finding(check=check, status="failed", got=got, expected=expected, advice=advice)
    damaged = [fault for name in weights if name in there if (fault := _damage(folder.path / name)) is not None]
    yield from damaged
    if missing or damaged:
        return
    size = sum((folder.path / name).stat().st_size for name in weights)
    got = f"{len(weights)} files of weights, {size / 1e6:,.1f} MB, and what goes with them"
    yield Finding(check=check, status="ok", got=got, expected=expected)
    own = {*weights, CAPTIONS} if folder.kind.name == "llamagen" else set(weights)
    foreign = sorted(name for name in there - own if name.endswith((".safetensors", ".py", *PICKLES)))
    if foreign:
        yield Finding(
            check="foreign files",
            status="warning",
            got=_list(foreign),
            expected="none: nothing here reads them, and code in a folder is never run",
            advice="delete them if you do not need them",
        )


def _damage(path: Path) -> Finding | None:
    """What is wrong with a file of weights: cut off, too long, or no safetensors at all."""
    try:
        read_shapes(path)
        return None
    except BadInput as error:
        got = f"{path.stat().st_size:,} bytes, {error.got}"
        return Finding(
            check=f"file {path.name}", status="failed", got=got, expected=error.expected, advice=error.advice
        )


def numbers(folder: Folder) -> int:
    """Numbers in the weights of a folder whose files are whole."""
    return sum(math.prod(shape) for name in folder.weights for shape in read_shapes(folder.path / name).values())


def _list(names: list[str]) -> str:
    """The first names, and how many there are."""
    return ", ".join(names[:4]) + (f" ({len(names)} in all)" if len(names) > 4 else "")
