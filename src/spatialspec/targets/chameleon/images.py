"""What targets with Chameleon's image decoder share: pixels, codes of images, and the files of both."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Int, UInt8
from PIL import Image as PILImage
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.io.files import write_text
from spatialspec.io.tensors import write_tensors
from spatialspec.targets.chameleon.files import FILE, load_reader, load_vq
from spatialspec.targets.chameleon.vq import ChameleonVQ
from spatialspec.targets.image_vocabulary import ImageVocabulary
from spatialspec.targets.images import decode_image, signed
from spatialspec.targets.words import read_tokenizer


class DrawsWithChameleon(ImageVocabulary):
    """A target whose codes are those of Chameleon's VQ tokenizer.

    Attributes:
        encodes: whether that tokenizer's encoder is known here.
    """

    encodes: ClassVar[bool] = True

    def take_decoder(self, origin: str, vq: ChameleonVQ | None) -> None:
        """Take the image decoder; None for that in the folder that the model was loaded from, `origin`.

        Raises:
            BadInput: the folder has none, or is none.
        """
        self._origin = origin
        self.vq = _vq_of(origin) if vq is None else vq

    @classmethod
    def read_parts(cls, folder: Path) -> dict[str, Any]:
        """Load the image decoder, in fp32, and the tokenizer."""
        return {"vq": load_vq(folder), "processor": read_tokenizer(folder)}

    def save(self, folder: Path) -> None:
        """As in the base, with the tokenizer and the image decoder."""
        super().save(folder)
        tokenizer = self.words.tokenizer
        write_text(folder / "tokenizer.json", getattr(tokenizer, "backend_tokenizer", tokenizer).to_str())
        write_tensors(folder / FILE, {name: t.cpu().contiguous() for name, t in self.vq.state_dict().items()})

    def begin(self) -> None:
        """Read the parts of the model again, before a session.

        Raises:
            BadInput: it was changed so that it cannot be run.
        """
        super().begin()
        self.vq.to(self.device)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The model, its image decoder, and the encoder where it was read from a file beside it."""
        return self.model, self.vq, *((self._beside,) if "_beside" in vars(self) else ())

    @property
    def patch(self) -> int:
        """Pixels a side of one cell."""
        return self.vq.patch

    @property
    def reader(self) -> Any:
        """The encoder of transformers: in the model, or in a file beside it where the checkpoint has none.

        Raises:
            BadInput: it is in neither, or not known here.
        """
        if not self.encodes:
            advice = "learn from images that the target draws, --self-distil PROMPTS"
            raise BadInput("no encoder of images", f"one, which {self.name} has not", advice)
        return getattr(self.model.model, "vqmodel", None) or self._beside

    @cached_property
    def _beside(self) -> Any:
        return load_reader(Path(self._origin), self.device)

    @torch.inference_mode()
    def codes(self, pixels: UInt8[Tensor, "B H W 3"]) -> Int[Tensor, "B cells"]:
        """Tokens of images, by the encoder of transformers; of pixels from -1 to 1, as published.

        Raises:
            BadInput: the checkpoint came without its encoder.
        """
        reader = self.reader
        tokens: Tensor = reader.encode(signed(pixels).to(reader.quant_conv.weight)).image_tokens
        return tokens.view(len(pixels), -1)

    @torch.no_grad()
    def pixels(self, tokens: Sequence[int], grid: Grid) -> PILImage.Image:
        """Image of a grid of tokens, 16 pixels a cell."""
        return decode_image(self.vq, tokens, grid)


def _vq_of(origin: str) -> ChameleonVQ:
    """The image decoder in the folder that a model was loaded from."""
    if not (Path(origin) / "config.json").is_file():
        raise BadInput(
            f"a model from {origin!r}",
            "one that was loaded from a folder with its image decoder",
            "give vq=load_vq(FOLDER) (spatialspec.targets.chameleon.files)",
        )
    return load_vq(Path(origin))
