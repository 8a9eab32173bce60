"""Pictures that exist already, as image tokens: what a target offers whose VQ tokenizer has its encoder at hand."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Int, UInt8
from torch import Tensor


@runtime_checkable
class ReadsPictures(Protocol):
    """A target that can turn pictures into its image tokens; drafts of it can be trained on real ones."""

    @property
    def patch(self) -> int:
        """Pixels a side of one cell."""
        ...

    def codes(self, pixels: UInt8[Tensor, "B H W 3"]) -> Int[Tensor, "B cells"]:
        """Image tokens of pictures, 0 to V - 1, row by row, on the device of the encoder.

        All pictures are encoded at once: the caller chooses how many fit.

        Args:
            pixels: RGB bytes on any device; a grid of H / patch rows and W / patch columns.

        Raises:
            BadInput: this checkpoint came without its encoder.
        """
        ...


def signed(pixels: UInt8[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 H W"]:
    """Bytes -> floats in [-1, 1], on the same device."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def normalised(processor: Any, pixels: UInt8[Tensor, "B H W 3"], like: Tensor) -> Float[Tensor, "B 3 H W"]:
    """Bytes -> floats as an image processor of transformers rescales and normalises them, at the size they have.

    Args:
        processor: of the checkpoint; mean and standard deviation are its.
        pixels: RGB bytes.
        like: a weight of the encoder; the result is on its device and in its type.
    """
    found = processor(
        images=list(pixels.cpu().numpy()), do_resize=False, return_tensors="pt", input_data_format="channels_last"
    )
    x: Tensor = found["pixel_values"]
    return x.to(like)
