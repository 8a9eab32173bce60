"""Real images for comparison: the held-out part of an ImageFolder with `metadata.csv`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from spatialspec.core.errors import BadInput
from spatialspec.drafts.image_folder import label, rows_of, split_of
from spatialspec.io.images import read_image

MOST = 5000


@dataclass(frozen=True)
class Real:
    """Real images in a fixed order.

    Attributes:
        pixels: 0..255.
        captions: "text, style" where the table has a style, else the text.
    """

    pixels: UInt8[np.ndarray, "N H W 3"]
    captions: tuple[str, ...]


def load_real(folder: Path, side: int, most: int = MOST) -> Real:
    """Read the held-out images of a folder, whose split is not "train"; all images if there are none.

    Args:
        folder: images and `metadata.csv` with file_name and text, as `spatialspec train data` writes them.
        side: pixels a side that they are resized to, that of the images to compare.
        most: largest number of images; a random choice of them.

    Raises:
        BadInput: no such folder, an unusable table, a file outside the folder, fewer than 4 images, or an unreadable
            image.
    """
    rows = rows_of(folder)
    held_out = [row for row in rows if split_of(row) != "train"] or rows
    if len(held_out) < 4:
        raise BadInput(f"{len(held_out)} images in --real {folder}", "at least 4", "add some")
    chosen = [held_out[i] for i in np.random.default_rng(0).permutation(len(held_out))[:most]]
    images = (read_image(folder / row["file_name"]) for row in chosen)
    size = (side, side)
    sized = [image if image.size == size else image.resize(size, Image.Resampling.LANCZOS) for image in images]
    return Real(np.stack([np.asarray(image) for image in sized]), tuple(map(label, chosen)))
