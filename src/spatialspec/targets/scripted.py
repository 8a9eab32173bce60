"""Reads the tensors of a TorchScript archive without running or compiling the code in it.

Such a file is a zip: `data.pkl`, the modules and their attributes, `data/N`, the numbers of each storage, and `code/`,
which stays closed. The pickle names classes of that code; here each becomes an empty object that takes attributes.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

STORAGES = {
    "FloatStorage": torch.float32,
    "BFloat16Storage": torch.bfloat16,
    "HalfStorage": torch.float16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}


class Part:
    """A module of the archive, or any other object of a class in it: its attributes."""

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {})


def is_script(path: Path) -> bool:
    """Whether a zip file is a TorchScript archive: it has constants of its code."""
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_script(path: Path, device: str | None) -> dict[str, Tensor]:
    """Parameters and buffers by name.

    Args:
        path: of the archive.
        device: "meta" for tensors without numbers; None for the CPU.

    Raises:
        pickle.UnpicklingError: it holds other objects than modules, tensors and plain values.
    """
    with zipfile.ZipFile(path) as archive:
        (root,) = (name for name in archive.namelist() if name.partition("/")[2] == "data.pkl")
        made = _Unpickler(archive, root.removesuffix("data.pkl"), device == "meta").load()
    return dict(_tensors(made, ""))


def _tensors(part: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in vars(part).items():
        if isinstance(value, Part):
            yield from _tensors(value, f"{prefix}{name}.")
        elif isinstance(value, Tensor):
            yield prefix + name, value


class _Unpickler(pickle.Unpickler):
    """Makes parts and tensors; any other global is refused."""

    plain: ClassVar[dict[tuple[str, str], Any]] = {
        ("collections", "OrderedDict"): OrderedDict,
        **{("torch.jit._pickle", f"build_{kind}list"): list for kind in ("int", "tensor", "double", "bool")},
    }

    def __init__(self, archive: zipfile.ZipFile, root: str, empty: bool) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}data.pkl")))
        self._archive, self._root, self._empty = archive, root, empty

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return Part
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) in self.plain:
            return self.plain[module, name]
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a module")

    def persistent_load(self, pid: Any) -> tuple[torch.dtype, str, int]:
        kind, dtype, key, _, numel = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"{kind} is no storage")
        return dtype, str(key), int(numel)

    def _tensor(self, storage: tuple[torch.dtype, str, int], offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
        dtype, key, numel = storage
        if self._empty:
            return torch.empty_strided(tuple(size), tuple(stride), dtype=dtype, device="meta")
        stored = bytearray(self._archive.read(f"{self._root}data/{key}"))
        flat = torch.frombuffer(stored, dtype=dtype, count=numel) if numel else torch.empty(0, dtype=dtype)
        return flat.as_strided(tuple(size), tuple(stride), offset)
