"""Change of pixels in every cell, across and down, and maps drawn over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from PIL import Image

from spatialspec.core.grid import Grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def changes(image: Image.Image, grid: Grid) -> tuple[Float[np.ndarray, "cells"], Float[np.ndarray, "cells"]]:
    """Mean absolute difference of neighbouring pixels in every cell, across (left to right) and down.

    Vertical edges change across, horizontal edges down. Values from 0 to 255, of luminance. A cell includes the
    difference from the last pixel of the cell before it.
    """
    light = np.asarray(image.convert("L"), dtype=np.float64)
    across, down = np.zeros_like(light), np.zeros_like(light)
    across[:, 1:] = np.abs(np.diff(light, axis=1))
    down[1:] = np.abs(np.diff(light, axis=0))
    return _by_cell(across, grid), _by_cell(down, grid)


def _by_cell(values: Float[np.ndarray, "H W"], grid: Grid) -> Float[np.ndarray, "cells"]:
    high, wide = values.shape[0] // grid.rows, values.shape[1] // grid.columns
    cut = values[: high * grid.rows, : wide * grid.columns]
    return cut.reshape(grid.rows, high, grid.columns, wide).mean((1, 3)).ravel()


def overlays(
    figure: Figure, images: Sequence[Image.Image], maps: Sequence[Float[np.ndarray, "rows columns"]], label: str
) -> None:
    """Images, and below each of them the image with a map over it; NaN is transparent."""
    panels = figure.subplots(2, len(images), squeeze=False)
    most = float(np.nanmax([np.nanmax(one) for one in maps]))
    for column, (image, one) in enumerate(zip(images, maps, strict=True)):
        extent = (0.0, float(image.width), float(image.height), 0.0)
        panels[0][column].imshow(image, extent=extent)
        panels[1][column].imshow(image.convert("L"), extent=extent, cmap="gray", vmin=0, vmax=255)
        shown = panels[1][column].imshow(one, extent=extent, cmap="inferno", alpha=0.7, vmin=0, vmax=most)
        for panel in (panels[0][column], panels[1][column]):
            panel.axis("off")
    figure.colorbar(shown, ax=list(panels.ravel()), label=label, shrink=0.6)
