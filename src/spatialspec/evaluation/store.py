"""Drawn images in a folder, so that an evaluation that was cut off goes on where it stopped.

Layout: `settings.json`, and for image i of prompt j `<method>/<j>-<i>.png` and, written last, `<j>-<i>.json`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from spatialspec.core.errors import BadInput
from spatialspec.evaluation.export import write_picture
from spatialspec.files import write_text


@dataclass(frozen=True)
class Kept:
    """A drawn image.

    Attributes:
        prompt, seed: what it was asked with.
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


class Store:
    """A folder of images of one setting.

    Args:
        folder: is made if need be.
        settings: everything but prompts and methods that images depend on.

    Raises:
        BadInput: the folder holds images of another setting, or a file that is none of ours.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, file = folder, folder / "settings.json"
        if file.is_file():
            try:
                there = json.loads(file.read_text())
            except json.JSONDecodeError as error:
                raise BadInput(
                    f"a damaged file ({error})", "JSON", "choose another folder for --out", where=file
                ) from error
            for name, value in settings.items():
                if there.get(name) != value:
                    raise BadInput(
                        f"{name} {value}",
                        f"{there.get(name)}, as its images",
                        "choose another --out",
                        where=folder,
                    )
        elif any(folder.iterdir()):
            raise BadInput(f"--out {folder}", "an empty folder or one of an earlier run", "choose another")
        else:
            write_text(file, json.dumps(settings, indent=2) + "\n")

    def load(self, method: str, prompt: int, image: int, asked: tuple[str, int]) -> tuple[Kept, Image.Image] | None:
        """An image that was drawn earlier with this prompt and seed; None if it is not there or not whole."""
        path = self._path(method, prompt, image)
        try:
            row = json.loads(path.with_suffix(".json").read_text())
            kept = Kept(**(row | {"tokens": tuple(row["tokens"])}))
            picture = Image.open(path.with_suffix(".png")).convert("RGB")
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return (kept, picture) if (kept.prompt, kept.seed) == asked else None

    def save(self, method: str, prompt: int, image: int, kept: Kept, picture: Image.Image) -> None:
        """Keep an image; its figures are written last."""
        path = self._path(method, prompt, image)
        path.parent.mkdir(exist_ok=True)
        write_picture(path.with_suffix(".png"), picture)
        write_text(path.with_suffix(".json"), json.dumps(asdict(kept)) + "\n")

    def _path(self, method: str, prompt: int, image: int) -> Path:
        return self.folder / slug(method) / f"{prompt:05d}-{image:04d}"


def digest(drafts: Sequence[nn.Module]) -> str:
    """Hash of draft weights: images of relaxed methods hang on them."""
    found = hashlib.sha256()
    for module in drafts:
        for name, tensor in sorted(module.state_dict().items()):
            found.update(name.encode())
            found.update(tensor.detach().to("cpu", torch.float32).numpy().tobytes())
    return found.hexdigest()[:16]


def slug(method: str) -> str:
    """A method as the name of a folder."""
    return re.sub(r"[^\w.+=-]", "_", method)
