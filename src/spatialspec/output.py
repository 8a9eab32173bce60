"""Result of a call: images in the requested type, with tokens, seeds and cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor

from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.generation import Report
from spatialspec.targets.images import unit

OutputType = Literal["pil", "np", "pt", "tokens"]
OUTPUT_TYPES: tuple[str, ...] = get_args(OutputType)


@dataclass(frozen=True)
class Output:
    """Result of a call; like the outputs of diffusers it supports indices, keys and unpacking, in the order below.

    Attributes:
        images: prompt by prompt. "pil": a list of PIL images; "np": an array (images, height, width, 3) of float32 in
            [0, 1]; "pt": a tensor (images, 3, height, width), likewise; "tokens": the same list as `tokens`.
        tokens: raster-order tokens of each image; of an interrupted image, those of its first cells.
        seeds: one per image.
        report: cost.
    """

    images: list[PILImage.Image] | np.ndarray | Tensor | list[tuple[int, ...]]
    tokens: list[tuple[int, ...]]
    seeds: list[int]
    report: Report

    def keys(self) -> list[str]:
        """Names of the values."""
        return [field.name for field in fields(self)]

    def to_tuple(self) -> tuple[Any, ...]:
        """The values in order."""
        return tuple(getattr(self, name) for name in self.keys())

    def with_remark(self, remark: str) -> Output:
        """A copy whose report has one remark more, unless it is empty."""
        return (
            self if not remark else replace(self, report=replace(self.report, remarks=(*self.report.remarks, remark)))
        )

    def __getitem__(self, key: int | slice | str) -> Any:
        if isinstance(key, str):
            if key not in self.keys():
                raise KeyError(key)
            return getattr(self, key)
        return self.to_tuple()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_tuple())

    def __len__(self) -> int:
        return len(fields(self))


def _full_image(target: Target, tokens: Sequence[int], grid: Grid) -> PILImage.Image:
    """The image at full size; incomplete rows of cells are white."""
    if len(tokens) == grid.cells:
        return target.pixels(tokens, grid)
    image = PILImage.new("RGB", (grid.columns * target.patch, grid.rows * target.patch), "white")
    if rows := len(tokens) // grid.columns:
        image.paste(target.pixels(tokens[: rows * grid.columns], Grid(rows, grid.columns)), (0, 0))
    return image


def images_of(target: Target, tokens: list[tuple[int, ...]], grid: Grid, output_type: str) -> Any:
    """Images as :class:`Output` has them."""
    if output_type == "tokens":
        return tokens
    before = target.layout(grid).cells - grid.cells  # cells of grids that precede the image
    images = [_full_image(target, written[before:], grid) for written in tokens]
    if output_type == "pil":
        return images
    pixels = unit(torch.from_numpy(np.stack([np.asarray(image.convert("RGB")) for image in images])))
    return pixels.numpy() if output_type == "np" else pixels.permute(0, 3, 1, 2).contiguous()
