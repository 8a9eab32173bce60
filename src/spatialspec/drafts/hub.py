"""Pictures with captions from a data set of the Hub, read by `datasets`; downloaded because the user has named it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub.constants import HF_HOME, HF_HUB_CACHE

from spatialspec.core.errors import BadInput, shown
from spatialspec.drafts.image_folder import Pictures, fitted
from spatialspec.extras import need
from spatialspec.pictures import read_picture

CAPTIONS = ("text", "caption", "prompt")  # in this order of preference


def read_dataset(name: str, size: int | tuple[int, int], limit: int | None, report: Callable[[str], None]) -> Pictures:
    """Read the split "train" of a data set with the columns `image` and `text` (or `caption`, or `prompt`).

    Args:
        name: on the Hub, or a folder that `datasets` can read.
        size: pixels a side, or (height, width), that pictures are resized and cut to.
        limit: most pictures; None for all.
        report: called with one line if anything was left out.

    Raises:
        NotInstalled: `datasets` is not installed.
        BadInput: no such data set, no such column, or nothing that can be used.
    """
    need("lab", "datasets")
    import datasets

    try:
        found: Any = datasets.load_dataset(name, split="train")
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise BadInput(f"the data set {name}", f"one with a split train ({error})") from error
    column = next((c for c in CAPTIONS if c in found.column_names), None)
    if column is None or "image" not in found.column_names:
        there = ", ".join(found.column_names)
        raise BadInput(f"the columns {there}", f"image and one of {', '.join(CAPTIONS)}", where=name)
    if limit is not None and limit < len(found):
        found = found.select(range(limit))
    places = [Path(name), Path(HF_HOME), Path(HF_HUB_CACHE), Path(os.environ.get("HF_DATASETS_CACHE", HF_HOME))]
    pixels, rows, unreadable, mute = [], [], 0, 0
    for row in found.cast_column("image", datasets.Image(decode=False)):
        if not (isinstance(row[column], str) and row[column].strip()):
            mute += 1
            continue
        try:
            pixels.append(fitted(read_picture(_source(row["image"], places), name), size))
        except BadInput:
            unreadable += 1
            continue
        rows.append({"text": row[column], "licence": str(row.get("licence") or row.get("license") or "")})
    if unreadable or mute:
        report(f"left out of {len(found)} pictures: {unreadable} that cannot be read, {mute} without a usable caption")
    if not rows:
        raise BadInput("no picture with a caption", "some", where=name)
    return Pictures(np.stack(pixels), rows)


def _source(image: Any, places: Sequence[Path]) -> Path | bytes:
    """The bytes of a picture, or its file, which the data set may name in its own folder and in the Hub's alone.

    Raises:
        BadInput: neither.
    """
    raw, path = (image.get("bytes"), image.get("path")) if isinstance(image, dict) else (None, None)
    if isinstance(raw, bytes):
        return raw
    if isinstance(path, str) and any(Path(os.path.abspath(path)).is_relative_to(p.absolute()) for p in places):
        return Path(path)
    raise BadInput(f"the picture {shown(path)}", "bytes, or a file of the data set")
