"""Prompts as BPE tokens: byte level, so that any prompt works, unknown words too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import parse_json, read_text

PAD = "<pad>"


class PromptTooLong(BadInput):
    """A prompt has more tokens than the prefix."""


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


def _steps(tokenizer: Tokenizer) -> dict[str, Any]:
    """All settings of a tokenizer but its vocabulary: normalisation, splitting, special tokens, dropout, truncation."""
    steps: dict[str, Any] = json.loads(tokenizer.to_str())
    model = steps.pop("model")
    return {**steps, **{f"model.{key}": model[key] for key in model if key not in ("vocab", "merges")}}


class PromptTokenizer:
    """Encodes prompts as sequences of `length` token ids."""

    def __init__(self, tokenizer: Tokenizer, length: int) -> None:
        tokenizer.encode_special_tokens = True  # a typed "<pad>" is text
        self.tokenizer, self.length = tokenizer, length

    @classmethod
    def from_file(cls, path: Path, length: int, vocabulary: int) -> PromptTokenizer:
        """Read a `tokenizer.json` of the kind that `train_bpe` makes.

        Args:
            path: of the file.
            length: of a sequence.
            vocabulary: number of embeddings.

        Raises:
            BadInput: the file is missing, damaged, of another kind, without some bytes, or has ids that are too large.
        """
        text, again = read_text(path, "the tokenizer of prompts", "check the folder"), "fetch it again"
        parse_json(text, path)
        try:
            tokenizer = Tokenizer.from_str(text)
        except BaseException as error:  # the library raises nothing more special, and a panic is no Exception
            if isinstance(error, KeyboardInterrupt):
                raise
            raise BadInput(f"a damaged file ({error})", "a tokenizer", again, where=path) from error
        got, expected = _steps(tokenizer), _steps(train_bpe((), 0))
        for key in expected:
            if got.get(key) != expected[key]:
                raise BadInput(f"{key} {shown(got.get(key))}", shown(expected[key], 200), "train one", where=path)
        ids = tokenizer.get_vocab()
        if missing := [byte for byte in pre_tokenizers.ByteLevel.alphabet() if byte not in ids]:
            raise BadInput(f"no token for {len(missing)} bytes", "one for each of the 256", again, where=path)
        if max(ids.values()) >= vocabulary:
            raise BadInput(f"the token id {max(ids.values())}", f"ids below {vocabulary}", again, where=path)
        return cls(tokenizer, length)

    def fits(self, prompt: str) -> bool:
        """Whether a prompt has no more tokens than a sequence."""
        return len(self.tokenizer.encode(prompt).ids) <= self.length

    def check(self, prompts: Sequence[str]) -> None:
        """Refuse prompts that do not fit.

        Raises:
            PromptTooLong: a prompt does not fit.
        """
        self(prompts)

    def __call__(self, prompts: Sequence[str], truncate: bool = False) -> Int[Tensor, "B P"]:
        """Encode prompts; an empty string is the unconditional prefix.

        Raises:
            PromptTooLong: a prompt does not fit and `truncate` is not set.
        """
        ids = torch.zeros(len(prompts), self.length, dtype=torch.long)
        for index, (prompt, encoded) in enumerate(
            zip(prompts, self.tokenizer.encode_batch(list(prompts)), strict=True)
        ):
            if len(encoded.ids) > self.length and not truncate:
                got = f"a prompt of {len(encoded.ids)} tokens ({prompt[:40]!r}...)"
                raise PromptTooLong(got, f"at most {self.length}", "shorten the prompt")
            tokens = torch.tensor(encoded.ids[: self.length], dtype=torch.long)
            ids[index, : len(tokens)] = tokens
        return ids
