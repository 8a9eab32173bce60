"""Images with captions from a folder with `metadata.csv`, in the ImageFolder convention."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from spatialspec.core.errors import BadInput
from spatialspec.drafts.limits import check_memory
from spatialspec.io.files import inside
from spatialspec.io.images import read_image
from spatialspec.io.tables import read_table

if TYPE_CHECKING:
    from PIL import Image

Row = dict[str, str]  # of `metadata.csv`, by column


def label(row: Row) -> str:
    """The label of an image with its style: "red apple, 3d"."""
    return f"{row['text']}, {row['style']}" if row.get("style") else row["text"]


def caption(row: Row, rng: np.random.Generator, styled: float = 0.9) -> str:
    """A random variant of an image's caption: its label, sometimes with tags, in a share `styled` with its style."""
    words = [row["text"]]
    tags = [t for t in row.get("tags", "").split("|") if t]
    if tags and rng.random() < 0.3:
        words += [str(t) for t in rng.permutation(tags)[: rng.integers(1, 3)]]
    if row.get("style") and rng.random() < styled:
        words.append(row["style"])
    return ", ".join(words)


def split_of(row: Row) -> str:
    """Split of an image, "train" where the table has none."""
    return row.get("split") or "train"


@dataclass(frozen=True)
class CaptionedImages:
    """Images in memory.

    Attributes:
        pixels: uint8 (images, height, width, 3).
        rows: the columns of `metadata.csv` for each image; only `text` is required.
    """

    pixels: np.ndarray
    rows: list[Row]

    @property
    def digest(self) -> str:
        """Number of images, and a hash of every pixel and cell of the table; it is part of stored states."""
        digest = hashlib.sha256(repr((self.pixels.shape, [sorted(row.items()) for row in self.rows])).encode())
        digest.update(np.ascontiguousarray(self.pixels).data)
        return f"{len(self.rows)} pictures {digest.hexdigest()[:16]}"

    @property
    def labels(self) -> list[str]:
        """Label and style of every image."""
        return [label(row) for row in self.rows]

    def select(self, *splits: str) -> CaptionedImages:
        """The images of the named splits."""
        chosen = [i for i, row in enumerate(self.rows) if split_of(row) in splits]
        return CaptionedImages(self.pixels[chosen], [self.rows[i] for i in chosen])

    def with_left_out(self, most: int, *splits: str) -> CaptionedImages:
        """These images; if none is of `splits`, the last tenth of "train", at most `most` images, becomes "pair"."""
        known = [i for i, row in enumerate(self.rows) if split_of(row) == "train"]
        if any(split_of(row) in splits for row in self.rows):
            return self
        last = {*known[len(known) - min(most, len(known) // 10 + 1, len(known) - 1) :]}
        rows = [{**row, "split": "pair"} if i in last else row for i, row in enumerate(self.rows)]
        return CaptionedImages(self.pixels, rows)


def rows_of(folder: Path) -> list[Row]:
    """Rows of a folder's `metadata.csv`.

    Raises:
        BadInput: the table is missing or empty, lacks a column, is damaged, or names a file outside the folder.
    """
    table = folder / "metadata.csv"
    if not table.is_file():
        raise BadInput(f"{folder}", "a folder with metadata.csv", "run `spatialspec train data` first")
    _, rows = read_table(table, ("file_name", "text"), "text")
    if not rows:
        raise BadInput("no row", "one row for each image", "add some", table)
    for line, row in rows:
        inside(folder, row["file_name"], f"{table}, line {line}")
    return [row for _, row in rows]


def load(
    folder: Path, size: int | tuple[int, int] = 96, report: Callable[[str], None] = lambda line: None
) -> CaptionedImages:
    """Read the images of a folder with `metadata.csv` (columns `file_name`, `text`); see :func:`read_images`.

    Raises:
        BadInput: the table cannot be used, no image can be used, or there is not enough memory.
    """
    rows = rows_of(folder)
    return read_images(((folder / row["file_name"], row) for row in rows), len(rows), size, report, folder)


def read_images(
    sources: Iterable[tuple[Path | bytes | None, Row]],
    count: int,
    size: int | tuple[int, int],
    report: Callable[[str], None],
    where: object,
) -> CaptionedImages:
    """Read images; unreadable ones and those without a usable caption are left out, counted and reported.

    Args:
        sources: file or bytes of each image with its row; None if it has neither.
        count: of the sources.
        size: pixels a side, or (height, width), that images are resized and cut to around their centre.
        report: called with one line if images are left out.
        where: the images are, for messages.

    Raises:
        BadInput: no image can be used, or there is not enough memory.
    """
    height, width = (size, size) if isinstance(size, int) else size
    check_memory(2 * 3 * count * height * width, f"{count} images of {height}x{width} pixels", "take fewer")
    pixels: list[UInt8[np.ndarray, "H W 3"]] = []
    rows, without_caption, unreadable = [], 0, 0
    for source, row in sources:
        if not row["text"].strip() or {"\0", "\ufffd"} & set(row["text"]):
            without_caption += 1
            continue
        try:
            if source is None:
                raise BadInput("neither a file nor bytes", "an image")
            pixels.append(_fitted(read_image(source, where if isinstance(source, bytes) else ""), height, width))
        except BadInput:
            unreadable += 1
        else:
            rows.append(row)
    if len(rows) < count:
        left_out = f"{unreadable} that cannot be read, {without_caption} without a usable caption"
        report(f"left out of {count} images: {left_out}")
    if not rows and unreadable:
        raise BadInput(f"{count} rows and no readable image", "images in the folder of the table", where=where)
    if not rows:
        raise BadInput("no image with a caption", "some", "check the column text", where=where)
    return CaptionedImages(np.stack(pixels), rows)


def _fitted(image: Image.Image, height: int, width: int) -> UInt8[np.ndarray, "H W 3"]:
    from PIL import Image, ImageOps

    same = image.size == (width, height)
    return np.asarray(image if same else ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS))
