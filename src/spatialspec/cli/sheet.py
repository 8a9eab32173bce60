"""Pictures side by side on one sheet, with a caption below each column."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

GAP = 12  # pixels between pictures
SIDE = 192  # small pictures are enlarged by whole factors up to this


def contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size in rows, as nearly square as they go; a single one is returned as it is."""
    if len(pictures) == 1:
        return pictures[0]
    across = next(n for n in range(1, len(pictures) + 1) if n * n >= len(pictures))
    width, height = pictures[0].size
    down = -(-len(pictures) // across)
    sheet = Image.new("RGB", (across * (width + GAP) - GAP, down * (height + GAP) - GAP), "white")
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % across * (width + GAP), i // across * (height + GAP)))
    return sheet


def comparison(columns: Sequence[tuple[str, Sequence[Image.Image]]]) -> Image.Image:
    """One column for each method: its pictures from top to bottom, its caption (lines of text) below.

    Args:
        columns: captions and pictures; equally many pictures of one size in each.
    """
    font = ImageFont.load_default()
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    boxes = [pen.multiline_textbbox((0, 0), caption, font=font) for caption, _ in columns]
    first = columns[0][1][0]
    factor = max(1, SIDE // max(first.size))
    width, height = first.width * factor, first.height * factor
    step = max(width, *(round(box[2]) for box in boxes)) + GAP
    pictures = len(columns[0][1]) * (height + GAP)
    sheet = Image.new(
        "RGB", (len(columns) * step + GAP, GAP + pictures + max(round(b[3]) for b in boxes) + GAP), "white"
    )
    pen = ImageDraw.Draw(sheet)
    for i, (caption, column) in enumerate(columns):
        left = GAP + i * step
        for j, picture in enumerate(column):
            sheet.paste(picture.resize((width, height), Image.Resampling.NEAREST), (left, GAP + j * (height + GAP)))
        pen.multiline_text((left, GAP + pictures), caption, fill="black", font=font)
    return sheet
