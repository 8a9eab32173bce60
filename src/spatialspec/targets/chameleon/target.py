"""Anole (arXiv 2407.06135) and others that draw with Chameleon (arXiv 2405.09818), in the checkpoints of transformers.

One language model over text and image tokens; image token k is the id named IMGIMG<k in letters, A for 0>Z. The model
of transformers has no image decoder, and its `forward`, hence its `generate`, gives image tokens no probability. So the
hidden layers and the output weights of image tokens are used directly. A prompt is the words, the end of a message, and
the token that begins an image; the unconditional one has neither words nor end of message.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Int, UInt8
from PIL import Image as PILImage
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import ChameleonForConditionalGeneration, PreTrainedModel

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.io.files import read_text, write_text
from spatialspec.io.tensors import write_tensors
from spatialspec.targets.chameleon.files import FILE, load_reader, load_vq
from spatialspec.targets.chameleon.vq import ChameleonVQ
from spatialspec.targets.image_vocabulary import ImageVocabulary
from spatialspec.targets.images import decode_image, signed
from spatialspec.targets.pretrained import check_kinds
from spatialspec.targets.words import Words

# Names in vocabulary_map, as facebookresearch/chameleon reads them (chameleon/inference/vocab.py).
BOS, BEGIN_IMAGE, END_MESSAGE = "<s>", "<racm3:break>", "<reserved08706>"


class Anole(ChameleonForConditionalGeneration):
    """The model of transformers, where the checkpoint holds the image decoder too, which `load_vq` reads."""

    _keys_to_ignore_on_load_unexpected = [r"^model\.vqmodel\.decoder\."]  # noqa: RUF012


class ChameleonTarget(ImageVocabulary):
    """A model of the Chameleon family with its tokenizer and image decoder.

    Args:
        model: loaded model, which is not changed.
        processor: its processor, its tokenizer, or a `tokenizers.Tokenizer`.
        name: shown in reports and errors.
        vq: its image decoder; by default that in the folder that the model was loaded from.

    Raises:
        BadInput: the image decoder is missing, or the vocabulary lacks a token.
    """

    kind: ClassVar[type[PreTrainedModel]] = Anole
    authors: ClassVar[Sampling] = Sampling(guidance=3.0, temperature=0.7, top_p=0.9)  # GAIR-NLP/anole, Options.Image

    def __init__(self, model: PreTrainedModel, processor: Any, name: str, vq: ChameleonVQ | None = None) -> None:
        check_kinds(model, ChameleonForConditionalGeneration)
        config: Any = model.config
        self._names, self._origin = dict(config.vocabulary_map), str(config.name_or_path)
        words = Words(getattr(processor, "tokenizer", processor), self._names)
        self._begin_with(name, model, model.model, words)
        self.vq = _vq_of(self._origin) if vq is None else vq
        side = config.vq_config.resolution // self.vq.patch
        self.grid = Grid(side, side)
        control = {token: self.id_of(token) for token in (BOS, BEGIN_IMAGE, END_MESSAGE)}
        self._bos, self._begin, self._end_message = control.values()
        self.words.check_ids(control)
        self.take_ids(model.model.vocabulary_mapping.img2bpe, len(self.vq.codebook))
        self._images = set(self.ids.tolist())

    @classmethod
    def read_parts(cls, folder: Path) -> dict[str, Any]:
        """Load the image decoder, in fp32, and the tokenizer."""
        return {"vq": load_vq(folder), "processor": _load_tokenizer(folder)}

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

    def id_of(self, token: str) -> int:
        """Id of a token of the vocabulary.

        Raises:
            BadInput: no such token.
        """
        if token not in self._names:
            raise BadInput(f"no {token} in vocabulary_map", "one", "fetch config.json again", where=self.name)
        return int(self._names[token])

    def prompt_ids(self, prompts: Sequence[str], negatives: Sequence[str], streams: int, grid: Grid) -> list[list[int]]:
        """One message with the prompt, then what begins an image; without words only the latter."""
        for text in (*prompts, *negatives):
            self.words.check(text, self._images)
        texts = [text for pair in zip(prompts, negatives, strict=True) for text in pair[:streams]]
        return [
            [*self._message(text, grid), *self._opening(grid)] if text else self._unconditional(grid) for text in texts
        ]

    def _message(self, prompt: str, grid: Grid) -> list[int]:
        """The user's message."""
        return [self._bos, *self.words.ids(prompt), self._end_message]

    def _opening(self, grid: Grid) -> list[int]:
        """What begins an image."""
        return [self._begin]

    def _unconditional(self, grid: Grid) -> list[int]:
        """The unconditional prompt."""
        return [self._bos, *self._opening(grid)]

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
            BadInput: it is in neither.
        """
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


def _load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of tokenizer.json: some classes of transformers build another, which splits words differently."""
    path = folder / "tokenizer.json"
    text = read_text(path, "the tokenizer of prompts", "fetch it, see docs/targets")
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing more special
        raise BadInput(f"a damaged file ({error})", "a tokenizer", "fetch it again", where=path) from error
