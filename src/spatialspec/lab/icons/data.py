"""`spatialspec train data`: the images of `icons` as an ImageFolder with `metadata.csv`.

The split is by hash, independent of any order: `concept` = a concept in no training image, `style` = one held-out
drawing style, `pair` = a held-out combination of a known concept and a known style, `train` = the rest.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from spatialspec.io.images import write_image
from spatialspec.io.processes import Workers
from spatialspec.io.tables import write_table
from spatialspec.lab.icons.sources import Drawing, drawings, fetch, read_labels
from spatialspec.lab.icons.words import read_words
from spatialspec.targets.icons.sources import LABELS, SOURCES

if TYPE_CHECKING:
    from PIL import Image

HELD_OUT_STYLE = "blob"
COLUMNS = ("file_name", "text", "tags", "names", "concept", "style", "split", "licence")


def split_of(concept: str, style: str) -> str:
    """Name the split of an image: 5 % of concepts, one style, 5 % of the remaining pairs are held out."""
    if _percent(concept) < 5:
        return "concept"
    if style == HELD_OUT_STYLE:
        return "style"
    return "pair" if _percent(f"{concept}|{style}") < 5 else "train"


def _percent(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 100


def rasterise(drawing: Drawing, side: int) -> Image.Image | None:
    """Render a drawing with its transparency, the longer side `side` pixels; None if it cannot be rendered."""
    from PIL import Image

    try:
        raw = drawing.raster
        if raw is None:
            import resvg_py

            raw = bytes(resvg_py.svg_to_bytes(svg_string=drawing.svg, width=2 * side, dpi=96))
        image = Image.open(io.BytesIO(raw)).convert("RGBA")
        scale = side / max(image.size)
        return image.resize([max(1, round(s * scale)) for s in image.size], Image.Resampling.LANCZOS)
    except (ValueError, OSError, BaseException) as error:  # resvg raises pyo3's PanicException, a BaseException
        if isinstance(error, (KeyboardInterrupt, SystemExit, ImportError)):
            raise
        return None


def draw(drawing: Drawing, side: int) -> np.ndarray | None:
    """Render a drawing on white, fitted into a square; None if it cannot be rendered or is almost empty.

    Returns:
        uint8 array of shape (side, side, 3).
    """
    from PIL import Image

    fitted = rasterise(drawing, side)
    if fitted is None:
        return None
    canvas = Image.new("RGBA", (side, side), "white")
    canvas.alpha_composite(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
    pixels = np.asarray(canvas.convert("RGB"))
    return pixels if (pixels < 245).any(-1).mean() > 0.02 else None


def _draw_to_file(job: tuple[Drawing, int, str, tuple[list[str], list[str]]]) -> dict[str, str] | None:
    from PIL import Image

    drawing, side, folder, (names, tags) = job
    pixels = draw(drawing, side)
    if pixels is None:
        return None
    name = f"{drawing.name}.png"
    write_image(Path(folder) / name, Image.fromarray(pixels))
    split = split_of(drawing.concept, drawing.style)
    all_tags = "|".join(dict.fromkeys((*drawing.tags, *tags)))
    values = (name, drawing.caption, all_tags, "|".join(names), drawing.concept, drawing.style, split, drawing.licence)
    return dict(zip(COLUMNS, values, strict=True))


def prepare(out: Path, cache: Path, side: int = 96, report: Callable[[str], None] = print) -> Counter:
    """Download every source and write `out/*.png` and `out/metadata.csv`.

    Args:
        out: folder for images and table; the table is written last and atomically.
        cache: folder for the downloaded packages.
        side: pixels a side, a multiple of 4.
        report: called with one line per source.

    Returns:
        Number of images by split.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "metadata.csv").unlink(missing_ok=True)  # that of other images
    labels, words = read_labels(fetch(LABELS, cache)), read_words(cache)
    rows: list[dict[str, str]] = []
    with Workers(os.cpu_count() or 1) as workers:
        for source in SOURCES:
            jobs = [(p, side, str(out), words.of(p.concept)) for p in drawings(source, fetch(source, cache), labels)]
            drawn = [row for row in workers.map(_draw_to_file, jobs, 32) if row]
            rows += drawn
            report(f"{source.package} {source.version}: {len(drawn)} of {len(jobs)} images, {source.licence}")
    rows.sort(key=lambda row: row["file_name"])
    write_table(out / "metadata.csv", COLUMNS, ([row[column] for column in COLUMNS] for row in rows))
    return Counter(row["split"] for row in rows)


def epoch_batch(count: int, batch: int, step: int, seed: tuple[int, ...]) -> Int[np.ndarray, "B"]:
    """Indices of a step: a new permutation in every epoch; a short last batch repeats its own images."""
    epoch, start = divmod(step * batch, count)
    return np.resize(np.random.default_rng((*seed, epoch)).permutation(count)[start:], batch)
