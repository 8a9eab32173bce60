"""Targets that are a plain language model of transformers: image token k is the id offset + k, behind all of text.

The offset is the number of the tokenizer's tokens, or the id of the first image token where the tokenizer has names for
them; all further rows of the embedding are image tokens. A subclass names the templates of its prompts, the default
grid and the image decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from transformers import PreTrainedModel

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.targets.image_vocabulary import ImageVocabulary
from spatialspec.targets.pretrained import check_kinds
from spatialspec.targets.words import Words


class CausalTarget(ImageVocabulary):
    """A causal language model with an image vocabulary by offset.

    Attributes:
        first: name of the token that begins every prompt.
        last: of the one that begins an image.
        control: names of further tokens that no words may have.
        image: name of the first image token; "" for a tokenizer that has none of them.
        prompt: text of a prompt between these; {} are its words.
        negative: likewise, of the unconditional stream with words of the user.
        unconditional: text of the unconditional stream without them.
    """

    first: ClassVar[str]
    last: ClassVar[str]
    control: ClassVar[tuple[str, ...]] = ()
    image: ClassVar[str] = ""
    prompt: ClassVar[str]
    negative: ClassVar[str]
    unconditional: ClassVar[str]

    def take_model(self, model: PreTrainedModel, processor: Any, name: str) -> int:
        """Take model and tokenizer.

        Returns:
            Number of image tokens: rows of the embedding behind those of text.

        Raises:
            BadInput: another model or tokenizer.
        """
        check_kinds(model, self.kind)
        named: Any = model
        names = [token for token in (self.first, self.last, *self.control, self.image) if token]
        words = Words(getattr(processor, "tokenizer", processor), names)
        self._begin_with(name, model, named.model, words)
        if lacking := [token for token in names if words.id_of(token) is None]:
            got, advice = f"a tokenizer without {', '.join(lacking)}", "it is another model's, or this is another model"
            raise BadInput(got, "one with all control tokens of the prompt", advice, name)
        rows, offset = self.decoder.embedding.num_embeddings, words.id_of(self.image) if self.image else words.count
        assert offset is not None
        self.offset = offset
        if rows <= self.offset:
            got = f"{rows:,} embeddings for {self.offset:,} tokens of text"
            raise BadInput(got, "image tokens behind them", "it is a model of text, or another's tokenizer", name)
        return rows - self.offset

    def take_codes(self, count: int, codes: int) -> None:
        """Take the ids of image tokens.

        Args:
            count: number of image tokens, of `take_model`.
            codes: size of the codebook.

        Raises:
            BadInput: they differ.
        """
        if count != codes:
            got = f"{count:,} image tokens behind {self.offset:,} of text"
            expected = f"{codes:,}, the codes of the image decoder"
            raise BadInput(got, expected, "the tokenizer is another model's", self.name)
        self.take_ids({code: self.offset + code for code in range(codes)}, codes)

    def begin(self) -> None:
        """Read the parts of the model again, before a session.

        Raises:
            BadInput: it was changed so that it cannot be run, or it attends within a window.
        """
        super().begin()
        if (rows := self.decoder.embedding.num_embeddings) != self.span[1] + 1:
            raise BadInput(f"{rows:,} embeddings", f"{self.span[1] + 1:,}, the last of an image token", "load it again")
        kinds = set(getattr(self.model.config, "layer_types", None) or ())
        if others := kinds - {"full_attention"}:
            raise BadInput(f"layers with {min(others)}", "full_attention in all of them", "masks of trees need it")

    @property
    def default(self) -> Sampling:
        """That of the published code: generation_config.json comes from the model of text."""
        return self.authors

    def prompt_ids(self, prompts: Sequence[str], negatives: Sequence[str], streams: int, grid: Grid) -> list[list[int]]:
        """Both templates, filled in."""
        sequences = []
        for prompt, negative in zip(prompts, negatives, strict=True):
            for text in (prompt, negative):
                self.words.check(text)
            unconditional = self.negative.format(negative) if negative else self.unconditional
            texts = (self.prompt.format(prompt), unconditional)[:streams]
            sequences += [self._framed(text + self.opening(grid)) for text in texts]
        return sequences

    def opening(self, grid: Grid) -> str:
        """What stands between a template and `last`."""
        return ""

    def _framed(self, text: str) -> list[int]:
        first, last = self.words.id_of(self.first), self.words.id_of(self.last)
        return self.words.framed(f"{self.first}{text}{self.last}", first, last, special=False)
