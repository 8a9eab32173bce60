"""Images side by side on one sheet, with a caption below each column."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

GAP = 12  # pixels between images
SIDE = 192  # pixels to which small images are enlarged, by whole factors


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


def comparison(columns: Sequence[tuple[str, Sequence[Image.Image]]]) -> Image.Image:
    """One column for each method: its images from top to bottom, its caption (lines of text) below.

    Args:
        columns: captions and images; equally many images of one size in each.
    """
    font = ImageFont.load_default()
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    boxes = [pen.multiline_textbbox((0, 0), caption, font=font) for caption, _ in columns]
    first = columns[0][1][0]
    factor = max(1, SIDE // max(first.size))
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
