"""A folder of pictures with `metadata.csv`, in the ImageFolder convention."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from spatialspec.core.errors import BadInput
from spatialspec.drafts.limits import check_memory
from spatialspec.files import inside
from spatialspec.pictures import read_picture
from spatialspec.tables import read_table

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Pictures:
    """An ImageFolder in memory.

    Attributes:
        pixels: uint8 (pictures, height, width, 3).
        rows: the columns of `metadata.csv` for each picture; only `file_name` and `text` must be there.
    """

    pixels: np.ndarray
    rows: list[dict[str, str]]

    @property
    def digest(self) -> str:
        """How many there are, and a hash of every pixel and cell of the table."""
        found = hashlib.sha256(repr((self.pixels.shape, [sorted(row.items()) for row in self.rows])).encode())
        found.update(np.ascontiguousarray(self.pixels).data)
        return f"{len(self.rows)} pictures {found.hexdigest()[:16]}"

    @property
    def labels(self) -> list[str]:
        """Label and style of every picture."""
        return [f"{row['text']}, {row['style']}" if row.get("style") else row["text"] for row in self.rows]

    def select(self, *splits: str) -> Pictures:
        """Return the pictures of the named splits; a picture without a split counts as "train"."""
        chosen = [i for i, row in enumerate(self.rows) if _split(row) in splits]
        return Pictures(self.pixels[chosen], [self.rows[i] for i in chosen])

    def with_left_out(self, most: int, *splits: str) -> Pictures:
        """The same; where none is of these splits, the last tenth to learn from, at most `most`, becomes "pair"."""
        known = [i for i, row in enumerate(self.rows) if _split(row) == "train"]
        if any(_split(row) in splits for row in self.rows):
            return self
        count = min(most, len(known) // 10 + 1, len(known) - 1)
        last = set(known[len(known) - count :])
        return Pictures(
            self.pixels, [{**row, "split": "pair"} if i in last else row for i, row in enumerate(self.rows)]
        )


def _split(row: dict[str, str]) -> str:
    return row.get("split") or "train"


def fitted(image: Image.Image, size: int | tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    """An RGB picture, resized and cut around its middle to (height, width), or to a square of so many a side."""
    from PIL import Image, ImageOps

    height, width = (size, size) if isinstance(size, int) else size
    same = image.size == (width, height)
    return np.asarray(image if same else ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS))


def rows_of(folder: Path) -> list[dict[str, str]]:
    """Rows of a folder's `metadata.csv`.

    Raises:
        BadInput: the table is missing or empty, lacks a column, is one that `tables` refuses, or names a file outside
            the folder.
    """
    table = folder / "metadata.csv"
    if not table.is_file():
        raise BadInput(f"{folder}", "a folder with metadata.csv", "run `spatialspec train data` first")
    _, rows = read_table(table, ("file_name", "text"), "text")
    if not rows:
        raise BadInput("no row", "a picture a row", "add some", table)
    for line, row in rows:
        inside(folder, row["file_name"], f"{table}, line {line}")
    return [row for _, row in rows]


def load(folder: Path, size: int | tuple[int, int] = 96) -> Pictures:
    """Read a folder of pictures with `metadata.csv` (columns `file_name`, `text`), `fitted` to a size.

    Raises:
        BadInput: the table cannot be used, no picture is there, or there is no room. Unreadable ones are left out.
    """
    rows = rows_of(folder)
    height, width = (size, size) if isinstance(size, int) else size
    check_memory(2 * 3 * len(rows) * height * width, f"{len(rows)} pictures of {height}x{width} pixels", "take fewer")
    pixels, kept = [], []
    for row in rows:
        try:
            pixels.append(fitted(read_picture(folder / row["file_name"]), size))
        except BadInput:
            continue
        kept.append(row)
    if not kept:
        raise BadInput(f"{len(rows)} rows and no readable picture", "some beside the table", where=folder)
    return Pictures(np.stack(pixels), kept)
