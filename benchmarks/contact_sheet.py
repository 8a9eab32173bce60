"""Draw the first 64 built-in prompts with plain AR on one sheet: `python benchmarks/contact_sheet.py OUT.png`."""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from spatialspec import SpatialPipeline
from spatialspec.io.images import write_image
from spatialspec.io.outputs import check_output
from spatialspec.io.prompts import BUILT_IN

ACROSS, SIDE, CAPTION = 8, 144, 16


def main(out: str, model: str = "icons") -> None:
    """Write the sheet; the seed of image i is i."""
    check_output(Path(out), ".png", "OUT")
    prompts = BUILT_IN[:64]
    images = SpatialPipeline.from_pretrained(model)(prompts, method="ar", seed=0).images
    rows = -(-len(prompts) // ACROSS)
    sheet = Image.new("RGB", (ACROSS * SIDE, rows * (SIDE + CAPTION)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for i, (prompt, image) in enumerate(zip(prompts, images, strict=True)):
        x, y = i % ACROSS * SIDE, i // ACROSS * (SIDE + CAPTION)
        sheet.paste(image.resize((SIDE - 8, SIDE - 8), Image.Resampling.LANCZOS), (x + 4, y + 2))
        pen.text((x + SIDE // 2, y + SIDE - 6), prompt, fill="black", font=font, anchor="mt")
    write_image(Path(out), sheet)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", help="a PNG file")
    parser.add_argument("model", nargs="?", default="icons", help="name or folder")
    main(**vars(parser.parse_args()))
