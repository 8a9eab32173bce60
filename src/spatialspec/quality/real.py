"""Real pictures to compare with: an ImageFolder with `metadata.csv`, of which the held-out part is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from spatialspec.core.errors import BadInput
from spatialspec.drafts.image_folder import rows_of
from spatialspec.pictures import read_picture

MOST = 5000


@dataclass(frozen=True)
class Real:
    """Real pictures in an order that does not change.

    Attributes:
        pixels: 0..255.
        captions: "text, style" where the table has a style, else the text.
    """

    pixels: UInt8[np.ndarray, "N H W 3"]
    captions: tuple[str, ...]


def load_real(folder: Path, side: int, most: int = MOST) -> Real:
    """Read the held-out pictures of a folder, those whose split is not "train"; all of them if there is no other.

    Args:
        folder: as `spatialspec train data` writes it: pictures and `metadata.csv` with file_name and text.
        side: pixels a side that they are brought to, as the pictures they are compared with.
        most: of them; a random part where there are more.

    Raises:
        BadInput: no such folder, a table that cannot be used, a file outside the folder in it, fewer than 4 pictures,
            or one that cannot be read.
    """
    rows = rows_of(folder)
    held_out = [row for row in rows if (row.get("split") or "train") != "train"] or rows
    if len(held_out) < 4:
        raise BadInput(f"{len(held_out)} pictures in --real {folder}", "at least 4", "add some")
    chosen = [held_out[i] for i in np.random.default_rng(0).permutation(len(held_out))[:most]]
    pixels = np.stack([_pixels(folder / row["file_name"], side) for row in chosen])
    return Real(pixels, tuple(_caption(row) for row in chosen))


def _pixels(path: Path, side: int) -> UInt8[np.ndarray, "H W 3"]:
    picture = read_picture(path)
    return np.asarray(
        picture if picture.size == (side, side) else picture.resize((side, side), Image.Resampling.LANCZOS)
    )


def _caption(row: dict[str, str]) -> str:
    return f"{row['text']}, {row['style']}" if row.get("style") else row["text"]
