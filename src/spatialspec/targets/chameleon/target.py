"""Anole (arXiv 2407.06135) and others that draw with Chameleon (arXiv 2405.09818), in the checkpoints of transformers.

One language model over text and image tokens; image token k is the id named IMGIMG<k in letters, A for 0>Z. The model
of transformers has no image decoder, and its `forward`, hence its `generate`, gives image tokens no probability. So the
hidden layers and the output weights of image tokens are used directly. A prompt is the words, the end of a message, and
the token that begins an image; the unconditional one has neither words nor end of message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from transformers import ChameleonForConditionalGeneration, PreTrainedModel

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.targets.chameleon.images import DrawsWithChameleon
from spatialspec.targets.chameleon.vq import ChameleonVQ
from spatialspec.targets.pretrained import check_kinds
from spatialspec.targets.words import Words

# Names in vocabulary_map, as facebookresearch/chameleon reads them (chameleon/inference/vocab.py).
BOS, BEGIN_IMAGE, END_MESSAGE = "<s>", "<racm3:break>", "<reserved08706>"


class Anole(ChameleonForConditionalGeneration):
    """The model of transformers, where the checkpoint holds the image decoder too, which `load_vq` reads."""

    _keys_to_ignore_on_load_unexpected = [r"^model\.vqmodel\.decoder\."]  # noqa: RUF012


class ChameleonTarget(DrawsWithChameleon):
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
        self._names = dict(config.vocabulary_map)
        words = Words(getattr(processor, "tokenizer", processor), self._names)
        self._begin_with(name, model, model.model, words)
        self.take_decoder(str(config.name_or_path), vq)
        side = self.vq.resolution // self.vq.patch
        self.grid = Grid(side, side)
        control = {token: self.id_of(token) for token in (BOS, BEGIN_IMAGE, END_MESSAGE)}
        self._bos, self._begin, self._end_message = control.values()
        self.words.check_ids(control)
        self.take_ids(model.model.vocabulary_mapping.img2bpe, len(self.vq.codebook))
        self._images = set(self.ids.tolist())

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
