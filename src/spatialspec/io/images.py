"""Image files: read in any of FORMATS, written atomically. Imports no torch."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, PngImagePlugin

from spatialspec.core.errors import BadInput
from spatialspec.io.files import write_bytes

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # none that needs another program
LARGEST = 2**26  # pixels
WRITTEN: dict[str, tuple[str, dict[str, Any]]] = {  # ending of a file that is written -> its format and how
    ".png": ("PNG", {}), ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}), ".webp": ("WEBP", {"lossless": True}),
}  # fmt: skip
NOTE = "spatialspec"  # key of a note in a PNG; in other formats it is the image's description
DESCRIPTION = 0x010E  # of EXIF


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


def encoded(image: Image.Image, suffix: str = ".png", note: str = "", quality: int | None = None) -> bytes:
    """The image as a file.

    Args:
        image: in RGB.
        suffix: a key of WRITTEN: the format.
        note: text in ASCII that travels in the file's metadata; "" for none.
        quality: of a lossy format, 0 to 100; None is the best of WRITTEN.
    """
    kind, options = WRITTEN[suffix]
    extra: dict[str, Any] = dict(options) if quality is None else {"quality": quality}
    if note and kind == "PNG":
        extra["pnginfo"] = PngImagePlugin.PngInfo()
        extra["pnginfo"].add_text(NOTE, note)
    elif note:
        extra["exif"] = Image.Exif()
        extra["exif"][DESCRIPTION] = note
    buffer = BytesIO()
    image.save(buffer, kind, **extra)
    return buffer.getvalue()


def write_image(path: Path, image: Image.Image, note: str = "") -> None:
    """Write an image in the format of the file's ending (see `encoded`; PNG for others), atomically."""
    suffix = path.suffix.lower()
    write_bytes(path, encoded(image, suffix if suffix in WRITTEN else ".png", note))


def read_note(path: Path) -> str:
    """The note in the metadata of a file that `write_image` wrote; "" for none.

    Raises:
        BadInput: the file is no image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=[kind for kind, _ in WRITTEN.values()]) as image:
                found = image.info.get(NOTE) or image.getexif().get(DESCRIPTION)
        return found if isinstance(found, str) else ""
    except Exception as error:  # decoders raise errors of any type
        expected = f"an image that `spatialspec generate` wrote, {', '.join(WRITTEN)}"
        raise BadInput(f"no image that can be read ({type(error).__name__})", expected, "", path) from error
