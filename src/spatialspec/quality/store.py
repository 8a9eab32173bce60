"""Images in a folder, from which an interrupted evaluation resumes.

Layout: `settings.json`, and for image i of prompt j `<method>/<j>-<i>.png` and, written last, `<j>-<i>.json`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from PIL import Image

from spatialspec.core.errors import BadInput
from spatialspec.io.files import read_config, write_bytes, write_text
from spatialspec.io.identity import check_same
from spatialspec.io.images import encoded, read_image
from spatialspec.io.processes import alone
from spatialspec.io.sealed import LARGEST, read_sealed, write_sealed

SAME_TOKENS = ("0.1.0", "0.2.0")  # versions that draw the same tokens: this one, and earlier ones


@dataclass(frozen=True)
class ImageRecord:
    """Tokens of an image, and figures of its decoding.

    Attributes:
        prompt, seed: of the request.
        tokens: in raster order.
        target_passes: forward calls of the target.
        surprisal, entropy: means over its cells, see `distance.Cells`; None at temperature 0.
    """

    prompt: str
    seed: int
    tokens: tuple[int, ...]
    target_passes: float
    surprisal: float | None
    entropy: float | None

    @property
    def gap(self) -> float | None:
        """Mean surprisal minus mean entropy."""
        return None if self.surprisal is None or self.entropy is None else self.surprisal - self.entropy


class Store:
    """A folder of images with the same settings.

    Args:
        folder: created if missing.
        settings: everything that images depend on, except prompts and methods.

    Raises:
        BadInput: the folder holds images of other settings, or a foreign file.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, file = folder, folder / "settings.json"
        advice = "choose another --out: the same command with --out NEW draws all images"
        with alone(folder, wait=True):  # two processes that start together agree on the settings
            if not file.exists():
                if any(not path.name.endswith(".partial") for path in folder.iterdir()):
                    raise BadInput(f"--out {folder}", "an empty folder or one of an earlier run", "choose another")
                write_text(file, json.dumps(settings, indent=2) + "\n")
        check_same(_of_tokens(settings), _of_tokens(read_config(file, advice=advice)), folder, advice)

    def load(
        self, method: str, prompt: int, image: int, request: tuple[str, int]
    ) -> tuple[ImageRecord, Image.Image] | None:
        """An image of an earlier run with this prompt and seed; None if it is missing or was changed."""
        path = self._path(method, prompt, image)
        row = read_sealed(path.with_suffix(".json"))
        if row is None or (row["method"], row["prompt"], row["seed"]) != (method, *request):
            return None
        try:
            with path.with_suffix(".png").open("rb") as file:
                data = file.read(LARGEST)
        except OSError:
            return None
        if hashlib.sha256(data).hexdigest() != row["picture"]:
            return None
        values = {field.name: row[field.name] for field in fields(ImageRecord)} | {"tokens": tuple(row["tokens"])}
        return ImageRecord(**values), read_image(data)

    def save(self, method: str, prompt: int, image: int, record: ImageRecord, pixels: Image.Image) -> None:
        """Write an image, and then its record."""
        path, data = self._path(method, prompt, image), encoded(pixels)
        path.parent.mkdir(exist_ok=True)
        write_bytes(path.with_suffix(".png"), data)
        values = {"method": method, "picture": hashlib.sha256(data).hexdigest(), **asdict(record)}
        write_sealed(path.with_suffix(".json"), values)

    def _path(self, method: str, prompt: int, image: int) -> Path:
        return self.folder / slug(method) / f"{prompt:05d}-{image:04d}"


def _of_tokens(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings in which versions are equal if they draw the same tokens."""
    return {**settings, "version": SAME_TOKENS[0]} if settings.get("version") in SAME_TOKENS else settings


def slug(method: str) -> str:
    """A folder name for a method."""
    return re.sub(r"[^\w.+=-]", "_", method)
