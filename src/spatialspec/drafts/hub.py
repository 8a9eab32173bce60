"""Images with captions from a data set of the Hub, downloaded and read by `datasets`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from huggingface_hub.constants import HF_HOME, HF_HUB_CACHE

from spatialspec.core.errors import BadInput
from spatialspec.drafts.image_folder import CaptionedImages, Row, read_images
from spatialspec.extras import need

CAPTIONS = ("text", "caption", "prompt")  # in this order of preference


def read_dataset(
    name: str, size: int | tuple[int, int], limit: int | None, report: Callable[[str], None]
) -> CaptionedImages:
    """Read the split "train" of a data set with the columns `image` and `text` (or `caption`, or `prompt`).

    Args:
        name: on the Hub, or a folder that `datasets` can read.
        size: pixels a side, or (height, width), that images are resized and cut to.
        limit: most images; None for all.
        report: called with one line if images are left out.

    Raises:
        NotInstalled: `datasets` is not installed.
        BadInput: no such data set, no such column, or no image that can be used.
    """
    need("lab", "datasets")
    import datasets

    try:
        data: Any = datasets.load_dataset(name, split="train")
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise BadInput(f"the data set {name}", f"one with a split train ({error})") from error
    column = next((c for c in CAPTIONS if c in data.column_names), None)
    if column is None or "image" not in data.column_names:
        got = f"the columns {', '.join(data.column_names)}"
        raise BadInput(got, f"image and one of {', '.join(CAPTIONS)}", where=name)
    if limit is not None and limit < len(data):
        data = data.select(range(limit))
    folders = [Path(name), Path(HF_HOME), Path(HF_HUB_CACHE), Path(os.environ.get("HF_DATASETS_CACHE", HF_HOME))]

    def sources() -> Iterator[tuple[Path | bytes | None, Row]]:
        for row in data.cast_column("image", datasets.Image(decode=False)):
            text = row[column] if isinstance(row[column], str) else ""
            yield (
                _source(row["image"], folders),
                {"text": text, "licence": str(row.get("licence") or row.get("license") or "")},
            )

    return read_images(sources(), len(data), size, report, name)


def _source(image: Any, folders: list[Path]) -> Path | bytes | None:
    """The bytes of an image, or its file, which must lie in the folder of the data set or of the Hub's cache."""
    raw, path = (image.get("bytes"), image.get("path")) if isinstance(image, dict) else (None, None)
    if isinstance(raw, bytes):
        return raw
    if isinstance(path, str) and any(Path(os.path.abspath(path)).is_relative_to(f.absolute()) for f in folders):
        return Path(path)
    return None
