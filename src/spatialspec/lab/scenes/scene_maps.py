"""Feature maps of scenes by the frozen network, computed once and saved in files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from spatialspec.drafts.image_folder import CaptionedImages
from spatialspec.lab.cached import cached
from spatialspec.lab.icons.degradation import degrade
from spatialspec.quality.scenes.network import Maps, image_maps

PIECE = 256  # images whose maps are in one file


def make_maps(
    data: CaptionedImages,
    side: int,
    damage: int | None = None,
    cache: Path | None = None,
    report: Callable[[str], None] = print,
) -> Maps:
    """Feature maps of images, from the cache if possible.

    Args:
        data: images.
        side: pixels a side at which the network sees them.
        damage: seed of the damage of every second image, without movement; None leaves all clean.
        cache: folder for maps; None saves none.
        report: called after each computed piece.
    """
    pieces: list[Maps] = []
    for start in range(0, len(data.rows), PIECE):
        pixels = data.pixels[start : start + PIECE]
        seed = None if damage is None else damage * 100_003 + start
        digest = hashlib.sha256(np.ascontiguousarray(pixels).data)
        digest.update(repr((pixels.shape, side, seed)).encode())
        path = None if cache is None else cache / f"scenes-{digest.hexdigest()[:16]}.safetensors"
        line = f"maps of {start + len(pixels)} of {len(data.rows)} scenes"
        stored = cached(path, len(pixels), partial(_maps, pixels, side, seed, partial(report, line)))
        pieces.append(tuple(stored[name] for name in sorted(stored)))
    return tuple(torch.cat(level) for level in zip(*pieces, strict=True))


def _maps(
    pixels: UInt8[np.ndarray, "B H W 3"], side: int, seed: int | None, done: Callable[[], None]
) -> dict[str, Tensor]:
    """Maps by level; every second image is damaged if there is a seed."""
    if seed is not None:
        clean = (np.arange(len(pixels)) % 2 == 0)[:, None, None, None]
        pixels = np.where(clean, pixels, degrade(pixels, seed, move=False))
    levels = {f"level-{i}": level for i, level in enumerate(image_maps(pixels, side))}
    done()
    return levels
