"""Images side by side on one sheet, with a caption below each image or column."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

GAP = 12  # pixels between images
SIDE = 192  # pixels to which small images are enlarged, by whole factors
ACROSS = 8  # captioned images in a row
CELL = 144  # pixels of a captioned image with its border, without its caption
BORDER = 4
LINE = 12  # pixels of a line of a caption of CHARACTERS
CHARACTERS = 25


def enlarged(image: Image.Image, factor: int) -> Image.Image:
    """An image with `factor` times as many pixels in each direction (Lanczos); unchanged for 1."""
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.LANCZOS)


def contact_sheet(images: Sequence[Image.Image]) -> Image.Image:
    """Images of one size in rows, as close to a square as possible; a single image is returned unchanged."""
    if len(images) == 1:
        return images[0]
    across = next(n for n in range(1, len(images) + 1) if n * n >= len(images))
    width, height = images[0].size
    down = -(-len(images) // across)
    sheet = Image.new("RGB", (across * (width + GAP) - GAP, down * (height + GAP) - GAP), "white")
    for i, image in enumerate(images):
        sheet.paste(image, (i % across * (width + GAP), i // across * (height + GAP)))
    return sheet


def captioned(captions: Sequence[str], images: Sequence[Image.Image]) -> Image.Image:
    """Images of any size in rows of ACROSS, each fitted into a square (Lanczos), with its caption below."""
    lines = [textwrap.wrap(caption, CHARACTERS) for caption in captions]
    step = CELL + BORDER + LINE * max(map(len, lines))
    sheet = Image.new("RGB", (min(len(images), ACROSS) * CELL, -(-len(images) // ACROSS) * step), "white")
    pen, font, side = ImageDraw.Draw(sheet), ImageFont.load_default(11), CELL - 2 * BORDER
    for i, (caption, image) in enumerate(zip(lines, images, strict=True)):
        x, y = i % ACROSS * CELL, i // ACROSS * step
        fitted = ImageOps.contain(image, (side, side), Image.Resampling.LANCZOS)
        sheet.paste(fitted, (x + (CELL - fitted.width) // 2, y + BORDER // 2 + (side - fitted.height) // 2))
        for j, line in enumerate(caption):
            pen.text((x + CELL // 2, y + CELL - 6 + j * LINE), line, fill="black", font=font, anchor="mt")
    return sheet


def comparison(columns: Sequence[tuple[str, Sequence[Image.Image]]], side: int = SIDE) -> Image.Image:
    """One column for each method: its images from top to bottom, its caption (lines of text) below.

    Args:
        columns: captions and images; equally many images of one size in each.
        side: pixels to which small images are enlarged, by whole factors and without smoothing; 0 for none.
    """
    font = ImageFont.load_default()
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    boxes = [pen.multiline_textbbox((0, 0), caption, font=font) for caption, _ in columns]
    first = columns[0][1][0]
    factor = max(1, side // max(first.size))
    width, height = first.width * factor, first.height * factor
    step = max(width, *(round(box[2]) for box in boxes)) + GAP
    images = len(columns[0][1]) * (height + GAP)
    sheet = Image.new("RGB", (len(columns) * step + GAP, GAP + images + max(round(b[3]) for b in boxes) + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (caption, column) in enumerate(columns):
        left = GAP + i * step
        for j, image in enumerate(column):
            sheet.paste(image.resize((width, height), Image.Resampling.NEAREST), (left, GAP + j * (height + GAP)))
        pen.multiline_text((left, GAP + images), caption, fill="black", font=font)
    return sheet
