"""Cut-outs to compose scenes from: drawings with their transparency, of concepts that every drawing style has.

The rule for concepts: things (emojibase's groups of animals, food, places, activities and objects), named by one word
in the singular, drawn in every style, and not held out from the training images of `icons`. So there are no signs and
no people, whom GenEval does not colour either.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from spatialspec.core.errors import BadInput
from spatialspec.io.processes import Workers
from spatialspec.lab.icons.data import rasterise, split_of
from spatialspec.lab.icons.sources import Drawing, drawings, fetch, read_entries, read_labels
from spatialspec.targets.icons.sources import LABELS, SOURCES, concept_of

GROUPS = (3, 4, 5, 6, 7)  # of emojibase: animals and nature, food and drink, travel and places, activities, objects
FAINT = 8  # largest alpha that counts as transparent
PALETTE = {
    "red": (215, 35, 40),
    "orange": (245, 130, 20),
    "yellow": (250, 215, 30),
    "green": (50, 160, 60),
    "blue": (40, 95, 215),
    "purple": (130, 50, 175),
    "pink": (250, 150, 195),
    "brown": (125, 75, 40),
    "black": (28, 28, 28),
}


@dataclass(frozen=True)
class CutOuts:
    """Drawings of things.

    Attributes:
        images: RGBA, cropped to the thing, by (concept, style).
        licences: by style.
    """

    images: Mapping[tuple[str, str], Image.Image]
    licences: Mapping[str, str]

    @property
    def concepts(self) -> list[str]:
        """All concepts, in alphabetical order."""
        return sorted({concept for concept, _ in self.images})

    def of(self, split: str) -> dict[str, list[str]]:
        """Concepts of a split by style, see `data.split_of`; styles with fewer than two are left out."""
        by_style: dict[str, list[str]] = {}
        for concept, style in sorted(self.images, key=lambda pair: (pair[1], pair[0])):
            if split_of(concept, style) == split:
                by_style.setdefault(style, []).append(concept)
        return {style: concepts for style, concepts in by_style.items() if len(concepts) > 1}


def read_cut_outs(cache: Path, side: int, report: Callable[[str], None] = print) -> CutOuts:
    """Download the sources that are not in the cache, choose concepts by the rule, and render them.

    Args:
        cache: folder of the downloaded packages, as of `train data`.
        side: pixels of the longer side of a drawing.
        report: called with progress lines.

    Raises:
        RuntimeError: a registry's client is missing or failed.
        BadInput: no concept is drawn in every style.
    """
    folder = fetch(LABELS, cache)
    labels, things = read_labels(folder), _things(folder)
    chosen: dict[tuple[str, str], Drawing] = {}
    for source in SOURCES:
        for drawing in drawings(source, fetch(source, cache), labels):
            if drawing.concept in things and split_of(drawing.concept, drawing.style) != "concept":
                chosen.setdefault((drawing.concept, drawing.style), drawing)
    styles = {source.style for source in SOURCES}
    wanted = [pair for pair in sorted(chosen) if all((pair[0], style) in chosen for style in styles)]
    report(f"{len(wanted)} drawings of {len({concept for concept, _ in wanted})} concepts in {len(styles)} styles")
    with Workers(os.cpu_count() or 1) as workers:
        drawn = workers.map(partial(cut_out, side=side), [chosen[pair] for pair in wanted], 16)
        images = {pair: image for pair, image in zip(wanted, drawn, strict=True) if image is not None}
    images = {pair: image for pair, image in images.items() if all((pair[0], style) in images for style in styles)}
    if not images:
        raise BadInput("no concept that is drawn in every style", "some", f"delete {cache} and fetch again")
    return CutOuts(images, {source.style: source.licence for source in SOURCES})


def _things(labels: Path) -> set[str]:
    """Concepts named by one word in the singular, in emojibase's groups of things."""
    names: Iterable[str] = (
        concept_of(entry["label"]) for entry in read_entries(labels) if entry.get("group") in GROUPS
    )
    return {name for name in names if name.isalpha() and not name.endswith("s")}


def cut_out(drawing: Drawing, side: int) -> Image.Image | None:
    """A drawing, cropped to its opaque part, whose longer side has at most `side` pixels.

    None if it cannot be rendered or is almost empty.
    """
    image = rasterise(drawing, side)
    box = None if image is None else image.getchannel("A").point(lambda alpha: 255 * (alpha > FAINT)).getbbox()
    if image is None or box is None or min(box[2] - box[0], box[3] - box[1]) < 2:
        return None
    return image.crop(box)


def tint(image: Image.Image, colour: str) -> Image.Image:
    """The thing in one colour, with its light and shade.

    Args:
        image: RGBA.
        colour: one of `scene.COLOURS`.
    """
    pixels = np.asarray(image.convert("RGBA"), dtype=np.float64)
    alpha, light = pixels[..., 3], pixels[..., :3] @ (0.299, 0.587, 0.114)
    mean = (light * alpha).sum() / alpha.sum()
    deviation = max(
        20.0, float(((light - mean) ** 2 * alpha).sum() / alpha.sum()) ** 0.5
    )  # at least 20: a flat drawing remains flat
    z = ((light - mean) / deviation).clip(-1.5, 1.5)[..., None]
    base = np.array(PALETTE[colour], dtype=np.float64)
    shaded = np.where(z > 0, base + (255 - base) * 0.16 * z, base * (1 + 0.2 * z))
    return Image.fromarray(np.concatenate([shaded, pixels[..., 3:]], -1).round().astype(np.uint8), "RGBA")
