"""Real images to compare with: an ImageFolder with `metadata.csv`, of which the held-out part is used."""

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
    """Real images in an order that does not change.

    Attributes:
        pixels: 0..255.
        captions: "text, style" where the table has a style, else the text.
    """

    pixels: UInt8[np.ndarray, "N H W 3"]
    captions: tuple[str, ...]


def load_real(folder: Path, side: int, most: int = MOST) -> Real:
    """Read the held-out images of a folder, those whose split is not "train"; all of them if there is no other.

    Args:
        folder: images and `metadata.csv` with file_name and text, as `spatialspec train data` writes them.
        side: pixels a side that they are resized to, as the images they are compared with.
        most: of them; a random part where there are more.

    Raises:
        BadInput: no such folder, a table that cannot be used, a file outside the folder in it, fewer than 4 images, or
            one that cannot be read.
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
