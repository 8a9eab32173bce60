"""Cut-outs without a package: four shapes in a few drawing styles, for scenes and a judge that are made in seconds."""

from __future__ import annotations

from itertools import count, islice

import numpy as np
from PIL import Image, ImageDraw

from spatialspec.lab.icons.data import HELD_OUT_STYLE, split_of
from spatialspec.lab.scenes.cut_outs import CutOuts

SHAPES = ("box", "cone", "disc", "plus")
SIDE = 64


def style_of(split: str, number: int = 0) -> str:
    """A style in which all shapes (of the split pair: the first two) fall into a split, by the hash of `split_of`."""
    shapes = SHAPES[:2] if split == "pair" else SHAPES
    fitting = (name for i in count() if all(split_of(shape, name := f"s{i}") == split for shape in shapes))
    return next(islice(fitting, number, None))


def cut_outs() -> CutOuts:
    """The shapes in three styles to learn from, one of which two are left out, and the style that is left out."""
    styles = [*(style_of("train", i) for i in range(3)), style_of("pair"), HELD_OUT_STYLE]
    images = {(shape, style): _shape(shape, i) for i, style in enumerate(styles) for shape in SHAPES}
    return CutOuts(images, {style: "CC0-1.0" for style in styles})


def _shape(name: str, style: int) -> Image.Image:
    """Each style has a colour of its own, and a darker rim."""
    colour = tuple(int(v) for v in np.random.default_rng(style).integers(60, 200, 3))
    image = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    draw, rim, last = ImageDraw.Draw(image), tuple(v // 2 for v in colour), SIDE - 1
    if name == "disc":
        draw.ellipse((0, 0, last, last), colour, rim, 2 + style)
    elif name == "box":
        draw.rectangle((0, 0, last, last), colour, rim, 2 + style)
    elif name == "cone":
        draw.polygon([(SIDE // 2, 0), (last, last), (0, last)], colour, rim, 2 + style)
    else:
        third = SIDE // 3
        draw.rectangle((third, 0, 2 * third, last), colour)
        draw.rectangle((0, third, last, 2 * third), colour)
    return image
