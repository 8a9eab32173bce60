"""Conversions between images and image tokens, and the protocol of targets with an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, Num, UInt8
from PIL import Image as PILImage
from torch import Tensor

from spatialspec.core.errors import BadInput, NotFinite, shown
from spatialspec.core.grid import Grid


@runtime_checkable
class ReadsImages(Protocol):
    """A target that encodes images as tokens, so that drafts can be trained on real images."""

    @property
    def patch(self) -> int:
        """Pixels a side of one cell."""

    def codes(self, pixels: UInt8[Tensor, "B H W 3"]) -> Int[Tensor, "B cells"]:
        """Tokens of images, 0 to V - 1, row by row, on the device of the encoder.

        All images are encoded in one batch: the caller chooses its size.

        Args:
            pixels: RGB bytes on any device; a grid of H / patch rows and W / patch columns.

        Raises:
            BadInput: this checkpoint came without its encoder.
        """


@runtime_checkable
class MayLackPixels(Protocol):
    """A target whose image decoder need not be there."""

    def check_pixels(self) -> None:
        """Refuse to draw pixels without it.

        Raises:
            BadInput: it is missing; the message says what to do.
        """


def check_pixels(settings: Any, where: object) -> None:
    """Refuse settings of an image processor without colour statistics, or with a scale that no model was trained on.

    Args:
        settings: rescaling and normalisation, as in preprocessor_config.json.
        where: the file.

    Raises:
        BadInput: one of them is missing or wrong.
    """
    advice = "fetch it again: without it colours are wrong"
    if not isinstance(settings, dict):
        raise BadInput(shown(settings), "settings of an image processor", advice, where)
    for key in ("do_rescale", "do_normalize"):
        if settings.get(key, True) is not True:
            raise BadInput(f"{key} {shown(settings[key])}", "true", advice, where)
    factor = settings.get("rescale_factor", 1 / 255)
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not abs(factor * 255 - 1) < 1e-3:
        raise BadInput(f"rescale_factor {shown(factor)}", "1/255", advice, where)
    for key, low in (("image_mean", 0.0), ("image_std", 1e-3)):
        values = settings.get(key)
        numbers = values if isinstance(values, list | tuple) and len(values) == 3 else [None]
        if not all(isinstance(x, int | float) and not isinstance(x, bool) and low <= x <= 1 for x in numbers):
            raise BadInput(f"{key} {shown(values)}", f"three numbers from {low:g} to 1", advice, where)


def unit(pixels: Num[Tensor, "*N"]) -> Float[Tensor, "*N"]:
    """Values from 0 to 255 -> floats in [0, 1]."""
    return pixels.float() / 255


def as_bytes(pixels: Float[Tensor, "*N"]) -> UInt8[Tensor, "*N"]:
    """Floats in [0, 1] -> bytes; values outside are clipped."""
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8)


def signed(pixels: UInt8[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 H W"]:
    """Bytes -> floats in [-1, 1], on the same device."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def finite(pixels: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
    """Pixels on the host.

    Raises:
        NotFinite: a pixel is no number.
    """
    pixels = pixels.float().cpu()
    if not pixels.isfinite().all():
        raise NotFinite("pixels")
    return pixels


def as_image(pixels: Float[Tensor, "H W 3"]) -> PILImage.Image:
    """Floats in [-1, 1] -> an image.

    Raises:
        NotFinite: a pixel is no number.
    """
    return PILImage.fromarray(finite(((pixels + 1) * 127.5).round()).to(torch.uint8).numpy())


def decode_image(decoder: Any, tokens: Sequence[int], grid: Grid) -> PILImage.Image:
    """Image of a grid of tokens.

    Args:
        decoder: with a `codebook`, and `decode` from codes (B, h, w) to pixels (B, 3, H, W) in [-1, 1].
        tokens: of all cells.
        grid: of the image.

    Raises:
        NotFinite: a pixel is no number.
    """
    codes = torch.tensor(tokens, device=decoder.codebook.device).view(1, grid.rows, grid.columns)
    return as_image(decoder.decode(codes)[0].permute(1, 2, 0))


def normalised(processor: Any, pixels: UInt8[Tensor, "B H W 3"], like: Tensor) -> Float[Tensor, "B 3 H W"]:
    """Bytes -> floats, rescaled and normalised by an image processor of transformers, without resizing.

    Args:
        processor: of the checkpoint.
        pixels: RGB bytes.
        like: a weight of the encoder; the result has its device and dtype.
    """
    images, layout = list(pixels.cpu().numpy()), "channels_last"
    x: Tensor = processor(images=images, do_resize=False, return_tensors="pt", input_data_format=layout)["pixel_values"]
    return x.to(like)
