"""`spatialspec train data`: the pictures of `icons` as an ImageFolder with `metadata.csv`.

The split is by hash, so it does not depend on the order of anything:
`concept` = a concept in no training picture, `style` = the one drawing style left out whole,
`pair` = a combination of a seen concept and a seen style left out, `train` = the rest.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int, UInt8

from spatialspec.core.errors import BadInput
from spatialspec.drafts.limits import check_memory
from spatialspec.files import inside
from spatialspec.lab.icons.sources import LABELS, SOURCES, Picture, fetch, pictures, read_labels
from spatialspec.pictures import read_picture, write_picture
from spatialspec.processes import Workers
from spatialspec.tables import read_table, write_table

if TYPE_CHECKING:
    from PIL import Image

HELD_OUT_STYLE = "blob"
COLUMNS = ("file_name", "text", "tags", "concept", "style", "split", "licence")


def split_of(concept: str, style: str) -> str:
    """Name the split of a picture: 5 % of concepts, one style, 5 % of the remaining pairs are held out."""
    if _percent(concept) < 5:
        return "concept"
    if style == HELD_OUT_STYLE:
        return "style"
    return "pair" if _percent(f"{concept}|{style}") < 5 else "train"


def _percent(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 100


def rasterise(picture: Picture, side: int) -> Image.Image | None:
    """Draw a picture with its transparency, the longer side `side` pixels; None if it cannot be drawn."""
    from PIL import Image

    try:
        raw = picture.raster
        if raw is None:
            import resvg_py

            raw = bytes(resvg_py.svg_to_bytes(svg_string=picture.svg, width=2 * side, dpi=96))
        image = Image.open(io.BytesIO(raw)).convert("RGBA")
        scale = side / max(image.size)
        return image.resize([max(1, round(s * scale)) for s in image.size], Image.Resampling.LANCZOS)
    except (ValueError, OSError, BaseException) as error:  # resvg raises pyo3's PanicException, a BaseException
        if isinstance(error, (KeyboardInterrupt, SystemExit, ImportError)):
            raise
        return None


def draw(picture: Picture, side: int) -> np.ndarray | None:
    """Draw a picture on white, fitted into a square; None if it cannot be drawn or is all but empty.

    Returns:
        uint8 array of shape (side, side, 3).
    """
    from PIL import Image

    fitted = rasterise(picture, side)
    if fitted is None:
        return None
    canvas = Image.new("RGBA", (side, side), "white")
    canvas.alpha_composite(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
    pixels = np.asarray(canvas.convert("RGB"))
    return pixels if (pixels < 245).any(-1).mean() > 0.02 else None


def _draw_to_file(job: tuple[Picture, int, str]) -> dict[str, str] | None:
    from PIL import Image

    picture, side, folder = job
    pixels = draw(picture, side)
    if pixels is None:
        return None
    name = f"{picture.name}.png"
    write_picture(Path(folder) / name, Image.fromarray(pixels))
    split = split_of(picture.concept, picture.style)
    values = (name, picture.caption, "|".join(picture.tags), picture.concept, picture.style, split, picture.licence)
    return dict(zip(COLUMNS, values, strict=True))


def prepare(out: Path, cache: Path, side: int = 96, report: Callable[[str], None] = print) -> Counter:
    """Fetch every source and write `out/*.png` and `out/metadata.csv`.

    Args:
        out: folder for pictures and table; the table is written last and atomically.
        cache: folder for the fetched packages.
        side: pixels a side, a multiple of 4.
        report: called with one line per source.

    Returns:
        Number of pictures by split.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "metadata.csv").unlink(missing_ok=True)  # of other pictures, until it is written anew
    labels = read_labels(fetch(LABELS, cache))
    rows: list[dict[str, str]] = []
    with Workers(os.cpu_count() or 1) as workers:
        for source in SOURCES:
            jobs = [(p, side, str(out)) for p in pictures(source, fetch(source, cache), labels)]
            drawn = [row for row in workers.map(_draw_to_file, jobs, 32) if row]
            rows += drawn
            report(f"{source.package} {source.version}: {len(drawn)} of {len(jobs)} pictures, {source.licence}")
    rows.sort(key=lambda row: row["file_name"])
    write_table(out / "metadata.csv", COLUMNS, ([row[column] for column in COLUMNS] for row in rows))
    return Counter(row["split"] for row in rows)


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


def epoch_batch(pictures: int, batch: int, step: int, seed: tuple[int, ...]) -> Int[np.ndarray, "B"]:
    """Pictures of a step: all of them once an epoch, in an order of its own; the last batch is filled from itself."""
    epoch, place = divmod(step * batch, pictures)
    return np.resize(np.random.default_rng((*seed, epoch)).permutation(pictures)[place:], batch)


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
