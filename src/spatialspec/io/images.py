"""Image files: read in any of FORMATS, written atomically. Imports no torch."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from spatialspec.core.errors import BadInput
from spatialspec.io.files import write_bytes

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # none that needs another program
LARGEST = 2**26  # pixels


def read_image(source: Path | bytes, where: object = "") -> Image.Image:
    """Read an image, upright and in RGB; transparent pixels become white, animations give their first frame.

    Args:
        source: file, or its bytes.
        where: name of the source, for the message; "" takes the file.

    Raises:
        BadInput: it has another format, is damaged, or has more than LARGEST pixels by its header.
    """
    try:
        if isinstance(source, Path) and not source.is_file():
            raise BadInput("no file", "an image")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
                if image.width * image.height > LARGEST:
                    raise BadInput(f"{image.width} x {image.height} pixels", f"at most {LARGEST:,}")
                return _rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # decoders raise errors of any type
        reason = error.got if isinstance(error, BadInput) else f"no image that can be read ({type(error).__name__})"
        file = where or (source if isinstance(source, Path) else "")
        raise BadInput(reason, f"one of {', '.join(FORMATS)}, of at most {LARGEST:,} pixels", "", file) from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel, which `convert` would clip at 255
        image = image.point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def png(image: Image.Image) -> bytes:
    """The image as a PNG file."""
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write_image(path: Path, image: Image.Image) -> None:
    """Write a PNG file atomically."""
    write_bytes(path, png(image))
