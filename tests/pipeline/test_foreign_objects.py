"""Objects of anybody's, whose attributes raise or lie, end in a result or in BadInput."""

import math
import os
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

from helpers.tiny import tiny_folder
from spatialspec.core.errors import BadInput
from spatialspec.pipeline import SpatialPipeline

ESCAPE = "\x1b]0;evil\x07"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pipe(folder: Path) -> SpatialPipeline:
    return SpatialPipeline.from_pretrained(folder)


class Broken:
    """Raises whatever it is asked."""

    def _fail(self, *given: Any) -> Any:
        raise ZeroDivisionError(ESCAPE)

    __len__ = __bool__ = __iter__ = __index__ = __eq__ = __repr__ = __str__ = __fspath__ = __float__ = _fail
    __hash__ = __getattr__ = __getitem__ = __int__ = __call__ = __contains__ = _fail  # type: ignore[assignment]


class Hidden:
    """Even its class cannot be asked for."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class LongList(list[Any]):
    """Says that it is longer than it is."""

    def __len__(self) -> int:
        return 5


class Word(str):
    """A text whose methods raise."""

    def strip(self, *given: Any) -> Any:
        raise OSError

    __eq__ = __hash__ = lower = startswith = split = strip  # type: ignore[assignment]


FOREIGN: list[Any] = [np, torch, math, Broken(), Hidden(), LongList([1]), LongList(), Word("a"), MagicMock(), Broken]
FOREIGN += [MagicMock(ndim=3), MagicMock(spec=list), MagicMock(spec=str), MagicMock(spec=torch.dtype), [Broken()]]
CALL = ["prompt", "method", "seed", "negative_prompt", "num_images_per_prompt", "guidance_scale", "temperature"]
CALL += ["top_k", "top_p", "size", "verifier", "written"]


@pytest.mark.parametrize("name", CALL)
def test_foreign_objects(pipe: SpatialPipeline, name: str) -> None:
    usual: dict[str, Any] = {"prompt": "a cat", "method": "ar", "size": "2x2"}
    for value in FOREIGN:
        try:
            pipe(**(usual | {name: value}))
        except BadInput as error:
            assert str(error).isprintable()


@pytest.mark.parametrize("name", ["model", "draft", "device", "torch_dtype", "dtype", "device_map"])
def test_foreign_objects_for_loading(folder: Path, name: str) -> None:
    for value in FOREIGN:
        try:
            SpatialPipeline.from_pretrained(**({"model": folder} | {name: value}))
        except BadInput as error:
            assert str(error).isprintable()


def test_paths_of_the_system(folder: Path) -> None:
    (entry,) = (entry for entry in os.scandir(folder.parent) if entry.name == folder.name)
    assert SpatialPipeline.from_pretrained(entry).target.name == "tiny"  # type: ignore[arg-type]
