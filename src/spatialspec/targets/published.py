"""Reads files of published checkpoints: the names of tensors, which show the kind, and the tensors.

Only tensors are read from a pickle, and it is not trusted: archives must be uncompressed, shapes are read first without
allocating memory, and all tensors together must not be larger than the file.
"""

from __future__ import annotations

import argparse
import io
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import LFS, unusable
from spatialspec.io.tensors import FLOATS, read_shapes
from spatialspec.targets.layouts import WRAPPERS, CheckpointLayout, layout
from spatialspec.targets.scripted import is_script, read_script

PICKLES = 64 << 20  # bytes of the pickles in front of an old checkpoint
STARTS = {  # first bytes of a file that is no checkpoint -> what it is, and what to do
    LFS: ("a git-lfs pointer, not the file itself", "run `git lfs pull` in its folder, or fetch the file again"),
    b"<": ("a web page", "fetch the file again, with a token if the model asks for one"),
}


def identify(*paths: Path) -> CheckpointLayout:
    """The kind of a checkpoint in one file or several, from the names in them; no weight is read.

    Raises:
        BadInput: no such file, a damaged one, one with code or other objects in it, or unknown names.
    """
    names = {name for path in paths for name in _shapes(path, WRAPPERS)}
    known = layout(names)
    if known is None:
        some = ", ".join(shown(name) for name in sorted(names)[:3])
        advice = "models in the layout of transformers need none of it: give their folder as --model"
        raise BadInput(f"tensors such as {some}", "a published checkpoint of a supported family", advice, paths[0])
    return known


def read(path: Path, expected: CheckpointLayout, part: bool = False) -> dict[str, Tensor]:
    """Tensors of a checkpoint by name, mapped from the file where its format allows.

    Args:
        path: of the file.
        expected: kind of the checkpoint.
        part: whether the file is one of several, which need not have all its names.

    Raises:
        BadInput: no such file, a damaged one, one with code or other objects in it, one of another kind, or with
            sparse or quantized tensors.
    """
    shapes = _shapes(path, expected.wrappers)
    known = layout(shapes)
    if known is not None and known is not expected and not part:
        raise BadInput(known.what, expected.what, known.advice, path)
    size = sum(tensor.numel() * tensor.element_size() for tensor in shapes.values())
    if size > path.stat().st_size:
        got = f"tensors of {size:,} bytes in a file of {path.stat().st_size:,}"
        raise BadInput(got, "as many bytes as tensors need", "fetch it again", path)
    tensors = _tensors(_load(path, None), expected.wrappers, path)
    empty = next((name for name, tensor in tensors.items() if tensor.is_meta), None)
    if empty is not None:
        raise BadInput("no numbers", "a tensor with numbers", "fetch it again", f"{path}: tensor {empty}")
    return tensors


def read_settings(path: Path) -> dict[str, Any]:
    """Settings of a network that stand beside its tensors, as `args` of `model`; none where there are no such.

    Raises:
        BadInput: as for `read`.
    """
    content = _load(path, "meta")
    settings = content["model"].get("args") if isinstance(content.get("model"), dict) else None
    return settings if isinstance(settings, dict) else {}


def _shapes(path: Path, wrappers: tuple[str, ...]) -> Mapping[str, Tensor]:
    """Tensors without numbers."""
    return _tensors(_load(path, "meta"), wrappers, path)


def _load(path: Path, device: str | None) -> Any:
    """The content of a file: of a pickle tensors, plain containers and the arguments of a training run; no code is run.

    Args:
        path: of the file.
        device: "meta" for tensors without numbers; None for the CPU, mapped from the file if possible.
    """
    expected = "a checkpoint of tensors"
    try:
        if not path.is_file():
            raise BadInput(f"no file {path}", expected, "check the path")
        with path.open("rb") as file:
            start = file.read(32)
        if not start:
            raise BadInput("an empty file", expected, "fetch it again", path)
        for first, (what, advice) in STARTS.items():
            if start.startswith(first):
                raise BadInput(what, expected, advice, path)
        if path.suffix == ".safetensors" or start[8:9] == b"{":
            return _safetensors(path, device)
        zipped = zipfile.is_zipfile(path)
        if zipped or start.startswith(b"\x80"):
            _check_pickle(path, zipped)
        else:
            got = "a damaged file (part of an archive)" if start.startswith(b"PK") else f"other bytes ({shown(start)})"
            raise BadInput(got, expected, "fetch it again", path)
        if zipped and is_script(path):
            return read_script(path, device)
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location=device or "cpu", weights_only=True, mmap=zipped)
    except BadInput:
        raise
    except OSError as error:
        raise unusable(path, error, expected) from error
    except pickle.UnpicklingError as error:
        got = "a file with other objects or code in its pickle"
        raise BadInput(got, "tensors only", "fetch the authors' own file", path) from error
    except Exception as error:  # a damaged pickle may raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BadInput(f"a damaged file ({reason})", expected, "fetch it again", path) from error


def _safetensors(path: Path, device: str | None) -> dict[str, Tensor]:
    shapes = read_shapes(path)  # refuses damaged files
    if device is None:
        return load_file(path)
    return {name: torch.empty(shape, dtype=torch.uint8, device=device) for name, shape in shapes.items()}


def _check_pickle(path: Path, zipped: bool) -> None:
    """Refuse files that need more memory than their size: compressed archives, and pickles that make byte arrays."""
    advice = "fetch the authors' own file"
    if zipped:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if "/code/" not in entry.filename]  # which is not read
            unpacked = sum(entry.file_size for entry in entries)
            if unpacked > path.stat().st_size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                got = f"a compressed archive of {unpacked:,} bytes"
                raise BadInput(got, "one as PyTorch writes it", advice, path)
            parts = [io.BytesIO(archive.read(e)) for e in entries if e.filename.endswith("data.pkl")]
    else:
        with path.open("rb") as file:
            parts = [io.BytesIO(file.read(PICKLES))] * 4  # pickles behind one another, the tensors' is the fourth
    names: set[str] = set()
    with suppress(ValueError):  # the end of the file, or damage, which PyTorch names
        for part in parts:
            names.update(str(name) for code, name, _ in pickletools.genops(part) if code.name == "GLOBAL")
    if any("bytearray" in name for name in names):
        raise BadInput("a pickle that makes arrays of bytes", "tensors only", advice, path)


def _tensors(content: Any, wrappers: tuple[str, ...], path: Path) -> dict[str, Tensor]:
    """The tensors by name, alone or under a wrapper."""
    if isinstance(content, dict):
        content = next((content[key] for key in wrappers if isinstance(content.get(key), dict)), content)
        content = content["sd"] if isinstance(content.get("sd"), dict) else content  # of Tar, beside `args`
    pairs = content.items() if isinstance(content, dict) else ()
    tensors = {name: t for name, t in pairs if isinstance(name, str) and isinstance(t, Tensor)}
    if not tensors:
        raise BadInput("no tensors", f"some, alone or under one of {', '.join(wrappers)}", "fetch it again", path)
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise BadInput("a sparse or quantized one", "a plain tensor", "", f"{path}: tensor {name}")
    return tensors


def check_numbers(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors of whole numbers, of complex ones, and with numbers that are not finite.

    Raises:
        BadInput: one is; the message names it.
    """
    for name, tensor in tensors.items():
        kind = str(tensor.dtype)
        if kind not in FLOATS or not tensor.isfinite().all():
            got = "numbers that are not finite" if kind in FLOATS else f"numbers of type {kind.removeprefix('torch.')}"
            raise BadInput(got, "finite floating-point numbers", "fetch it again", f"{path}: tensor {name}")
