"""Prompts as BPE tokens: byte level, so that any prompt works, unknown words too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from jaxtyping import Int
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from spatialspec.core.errors import BadInput

PAD = "<pad>"


class PromptTooLong(BadInput):
    """A prompt has more tokens than the prefix has places."""


def train_bpe(captions: Iterable[str], vocabulary: int) -> Tokenizer:
    """Train a lower-casing byte-level BPE; token 0 pads and, alone, is the empty prompt."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    return tokenizer


class PromptTokenizer:
    """Turns prompts into rows of `length` token ids."""

    def __init__(self, tokenizer: Tokenizer, length: int) -> None:
        self.tokenizer, self.length = tokenizer, length

    @classmethod
    def from_file(cls, path: Path, length: int) -> PromptTokenizer:
        """Read a `tokenizer.json`.

        Raises:
            BadInput: the file is missing or holds no tokenizer.
        """
        if not path.is_file():
            raise BadInput(f"no file {path}", "the tokenizer of prompts", "check the folder")
        try:
            return cls(Tokenizer.from_file(str(path)), length)
        except Exception as error:  # the library raises nothing more special
            raise BadInput(f"a damaged file ({error})", "a tokenizer", "fetch it again", where=path) from error

    def __call__(self, prompts: Sequence[str], truncate: bool = False) -> Int[Tensor, "B P"]:
        """Encode prompts; an empty string is the unconditional prefix.

        Raises:
            PromptTooLong: a prompt does not fit and `truncate` is not set.
        """
        ids = torch.zeros(len(prompts), self.length, dtype=torch.long)
        for row, (prompt, encoded) in enumerate(zip(prompts, self.tokenizer.encode_batch(list(prompts)), strict=True)):
            if len(encoded.ids) > self.length and not truncate:
                got = f"a prompt of {len(encoded.ids)} tokens ({prompt[:40]!r}...)"
                raise PromptTooLong(got, f"at most {self.length}", "shorten the prompt")
            kept = encoded.ids[: self.length]
            ids[row, : len(kept)] = torch.tensor(kept, dtype=torch.long)
        return ids
