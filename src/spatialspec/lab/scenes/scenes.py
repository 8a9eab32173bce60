"""`spatialspec train scenes`: scenes composed of cut-outs, whose count, colour and position are known exactly.

A scene has one drawing style and shows its things side by side on white. Scenes of the split `train` are made of
training drawings; those of `pair` and `style` of held-out drawings (`data.split_of`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from spatialspec.core.errors import BadInput
from spatialspec.io.images import write_image
from spatialspec.io.tables import write_table
from spatialspec.lab.scenes.cut_outs import CutOuts, tint
from spatialspec.lab.scenes.records import write_record
from spatialspec.quality.scenes.scene import CATEGORIES, Scene, ask

SPLITS = ("train", "pair", "style")
HELD_OUT = 0.15
"""Scenes of each held-out split, as a share of the training scenes."""
COLUMNS = ("file_name", "text", "style", "split", "category", "licence", "scene")
SIZES = {1: (0.45, 1.0), 2: (0.3, 0.5), 3: (0.27, 0.42), 4: (0.25, 0.38)}
"""Smallest and largest longer side of a thing, as a share of the image's side, by number of things."""
TRIES = 60  # placements before things are made a little smaller
SMALLEST = 0.2  # smallest scale of a thing, as a share of its first size

PixelBox = tuple[int, int, int, int]  # left, top, right, bottom


def compose(
    scene: Scene, images: Mapping[tuple[str, str], Image.Image], side: int, rng: np.random.Generator
) -> tuple[Scene, UInt8[np.ndarray, "side side 3"]]:
    """Draw a scene: things at random positions and sizes that fit the caption, without overlap.

    Args:
        scene: to draw, in a style.
        images: cut-outs by (concept, style).
        side: pixels a side.
        rng: of positions and sizes.

    Returns:
        The scene with boxes, and its image.

    Raises:
        BadInput: no placement fits the caption.
    """
    things = [images[thing.concept, scene.style] for thing in scene.things]
    things = [
        image if thing.colour is None else tint(image, thing.colour)
        for image, thing in zip(things, scene.things, strict=True)
    ]
    boxes, shrunk = None, 1.0
    while boxes is None:
        if shrunk < SMALLEST:
            raise BadInput(f"{scene.caption!r} on {side} pixels", "room for it", "give a larger side")
        tries = ([_place(image, len(things), shrunk, side, rng) for image in things] for _ in range(TRIES))
        boxes = next((tried for tried in tries if _apart(tried) and _related(scene.relation, tried)), None)
        shrunk *= 0.95
    canvas = Image.new("RGBA", (side, side), "white")
    for image, (left, top, right, bottom) in zip(things, boxes, strict=True):
        canvas.alpha_composite(image.resize((right - left, bottom - top), Image.Resampling.LANCZOS), (left, top))
    placed = []
    for thing, (left, top, right, bottom) in zip(scene.things, boxes, strict=True):
        placed.append(replace(thing, box=(left / side, top / side, right / side, bottom / side)))
    return replace(scene, things=tuple(placed)), np.asarray(canvas.convert("RGB"))


def _place(image: Image.Image, count: int, shrunk: float, side: int, rng: np.random.Generator) -> PixelBox:
    scale = rng.uniform(*SIZES[count]) * shrunk * side / max(image.size)
    width, height = (max(1, round(scale * length)) for length in image.size)
    left, top = int(rng.integers(side - width + 1)), int(rng.integers(side - height + 1))
    return left, top, left + width, top + height


def _apart(boxes: Sequence[PixelBox]) -> bool:
    return all(
        a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1] for i, a in enumerate(boxes) for b in boxes[:i]
    )


def _related(relation: str, boxes: Sequence[PixelBox]) -> bool:
    """Whether the first box lies in the direction of the relation: at least twice as far along it as across it."""
    if not relation:
        return True
    first, second = (np.array((left + right, top + bottom)) for left, top, right, bottom in boxes)
    x, y = (int(value) for value in first - second)
    along, across = {"left of": (-x, y), "right of": (x, y), "above": (-y, x), "below": (y, x)}[relation]
    return along > 0 and 2 * abs(across) <= along


def make(
    cut_outs: CutOuts, split: str, number: int, side: int, seed: int
) -> tuple[Scene, UInt8[np.ndarray, "side side 3"]]:
    """Scene `number` of a split; it depends on the cut-outs, the seed and its number alone. Categories take turns.

    Raises:
        BadInput: no style has two drawings in this split.
    """
    styles = cut_outs.of(split)
    if not styles:
        raise BadInput(f"no style with two drawings of the split {split}", "one to compose scenes from")
    rng = np.random.default_rng((seed, SPLITS.index(split), number))
    style = str(rng.choice(list(styles)))
    return compose(ask(CATEGORIES[number % len(CATEGORIES)], styles[style], style, rng), cut_outs.images, side, rng)


def write_scenes(
    cut_outs: CutOuts, out: Path, count: int, side: int, seed: int, report: Callable[[str], None] = print
) -> Counter[str]:
    """Write an ImageFolder: `SPLIT-NUMBER.png` and, last, `metadata.csv` with each scene's record.

    Args:
        cut_outs: drawings to compose.
        out: folder; files of the same names are replaced atomically.
        count: scenes of the split `train`; every other split has HELD_OUT times as many.
        side: pixels a side.
        seed: of everything random.
        report: called with a line for each split.

    Returns:
        Number of scenes by split.

    Raises:
        BadInput: a split has no style with two drawings.
    """
    counts = {split: count if split == "train" else max(1, round(HELD_OUT * count)) for split in SPLITS}
    for split in SPLITS:
        make(cut_outs, split, 0, side, seed)  # before anything is written
    out.mkdir(parents=True, exist_ok=True)
    (out / "metadata.csv").unlink(missing_ok=True)  # that of other scenes
    rows: list[tuple[str, ...]] = []
    for split, wanted in counts.items():
        for number in range(wanted):
            scene, pixels = make(cut_outs, split, number, side, seed)
            name = f"{split}-{number:06d}.png"
            write_image(out / name, Image.fromarray(pixels))
            licence = cut_outs.licences[scene.style]
            rows.append((name, scene.caption, scene.style, split, scene.category, licence, write_record(scene)))
        report(f"{split}: {wanted} scenes of {sum(map(len, cut_outs.of(split).values()))} drawings")
    write_table(out / "metadata.csv", COLUMNS, rows)
    return Counter(counts)
