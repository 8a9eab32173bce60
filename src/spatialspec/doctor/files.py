"""Checks the files of a model before loading: kind of model, and missing, truncated or foreign files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatialspec.core.errors import BadInput
from spatialspec.doctor.report import Finding, failed, ok, warning
from spatialspec.io.files import inside, read_config
from spatialspec.io.pipeline_folder import processor_folder
from spatialspec.io.tensors import read_shapes
from spatialspec.targets.loading import kind_of
from spatialspec.targets.registry import TargetKind

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")  # reading one may run code


@dataclass(frozen=True)
class ModelFolder:
    """Folder of a model of a known kind.

    Attributes:
        path: of the folder.
        kind: of the model.
        config: contents of config.json.
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
        files = self.kind.files
        names = self._shards if files is None else [name for name in files if name.endswith(".safetensors")]
        return [*names, *(name for name in self.kind.optional_weights if (self.path / name).is_file())]

    @property
    def _shards(self) -> list[str]:
        """Files of weights in the layout of transformers."""
        index = self.path / INDEX
        if (self.path / SINGLE).is_file() or not index.is_file():
            return [SINGLE]
        table = read_config(index, ("weight_map",))["weight_map"]
        if not isinstance(table, dict) or not table:
            raise BadInput("no file names", "some in weight_map", "fetch it again", where=index)
        for name in table.values():
            inside(self.path, name, f"{index}: weight_map")
        return sorted(set(table.values()))

    @property
    def needed(self) -> list[str]:
        """Names of all required files."""
        return [*self.weights, "tokenizer.json"] if self.kind.files is None else list(self.kind.files)


def open_folder(path: Path) -> ModelFolder:
    """Identify the kind of model in a folder.

    Raises:
        BadInput: config.json is missing, damaged, or of an unknown kind.
    """
    config = read_config(path / "config.json", ())
    return ModelFolder(path, kind_of(config), config)


def check_files(folder: ModelFolder) -> Iterator[Finding]:
    """Check that required files exist and are complete, and look for foreign files."""
    weights = folder.weights
    names = {path.name for path in (*folder.path.iterdir(), *processor_folder(folder.path).iterdir()) if path.is_file()}
    missing = [f"{SINGLE} or {INDEX}" if name == SINGLE else name for name in folder.needed if name not in names]
    pickles = sorted(name for name in names if name.endswith(PICKLES))
    expected = "all, whole, weights in safetensors"
    if missing:
        instead = f"; {_list(pickles)} is no safetensors" if pickles and not names.issuperset(weights) else ""
        advice = "fetch the safetensors of this model, or see `spatialspec convert`" if instead else "fetch them"
        yield failed("files", f"no {_list(missing)}{instead}", expected, advice)
    damaged = [fault for name in weights if name in names if (fault := _damage(folder.path / name)) is not None]
    yield from damaged
    if missing or damaged:
        return
    size = sum((folder.path / name).stat().st_size for name in weights)
    yield ok("files", f"{len(weights)} files of weights, {size / 1e6:,.1f} MB, and what goes with them", expected)
    foreign = sorted(
        name
        for name in names.difference(weights, folder.kind.optional_files)
        if name.endswith((".safetensors", ".py", *PICKLES))
    )
    if foreign:
        expected = "none: nothing here reads them, and code in a folder is never run"
        yield warning("foreign files", _list(foreign), expected, "delete them if you do not need them")


def _damage(path: Path) -> Finding | None:
    """The finding on a damaged file of weights: truncated, too long, or no safetensors; None if it is complete."""
    try:
        read_shapes(path)
    except BadInput as error:
        got = f"{path.stat().st_size:,} bytes, {error.got}"
        return failed(f"file {path.name}", got, error.expected, error.advice)
    return None


def numbers(folder: ModelFolder) -> int:
    """Numbers in the weights of a folder whose files are whole."""
    return sum(math.prod(shape) for name in folder.weights for shape in read_shapes(folder.path / name).values())


def _list(names: list[str]) -> str:
    """The first names, and their number."""
    return ", ".join(names[:4]) + (f" ({len(names)} in all)" if len(names) > 4 else "")
