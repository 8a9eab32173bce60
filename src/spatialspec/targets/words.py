"""Tokenizes prompts as plain text: control tokens are refused, and nothing is truncated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerBase

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import read_text

IMAGE_NAMES = ("IMGIMG", "<|visual token")  # prefixes of names of image tokens: Chameleon's family, Emu3
ANOTHERS = "it is another model's, or its files are damaged"
MARK = re.compile(r"<[|\uff5c].*[|\uff5c]>", re.DOTALL)  # names of control tokens


class Words:
    """The tokenizer of a model, for prompts and the control tokens around them.

    Args:
        tokenizer: of transformers, which may change later, or of `tokenizers`, which is copied.
        names: names of the model's tokens; those in angle brackets are control tokens.

    Raises:
        BadInput: the tokenizer is of another class.
    """

    def __init__(self, tokenizer: Any, names: Iterable[str] = ()) -> None:
        if isinstance(tokenizer, Tokenizer):
            tokenizer = Tokenizer.from_str(tokenizer.to_str())  # a copy, as its file may truncate or pad texts
            tokenizer.no_truncation()
            tokenizer.no_padding()
        elif not isinstance(tokenizer, PreTrainedTokenizerBase):
            raise BadInput(f"a tokenizer of class {type(tokenizer).__name__}", "one of transformers or of tokenizers")
        self.tokenizer = tokenizer
        self._control = {name for name in names if name.startswith("<") and name.endswith(">") and len(name) > 2}

    @property
    def count(self) -> int:
        """Number of its tokens, added ones too."""
        bare = isinstance(self.tokenizer, Tokenizer)
        return self.tokenizer.get_vocab_size(with_added_tokens=True) if bare else len(self.tokenizer)

    def id_of(self, name: str) -> int | None:
        """Id of a token; None if there is none."""
        bare = isinstance(self.tokenizer, Tokenizer)
        number = self.tokenizer.token_to_id(name) if bare else self.tokenizer.get_vocab().get(name)
        return None if number is None else int(number)

    def _name(self, token: int) -> Any:
        bare = isinstance(self.tokenizer, Tokenizer)
        return self.tokenizer.id_to_token(token) if bare else self.tokenizer.convert_ids_to_tokens(token)

    def check_ids(self, names: Mapping[str, int]) -> None:
        """Refuse a tokenizer in which control tokens of the model have other ids.

        Raises:
            BadInput: a token has another id.
        """
        for name, number in names.items():
            if (known := self.id_of(name)) != number:
                got = f"a tokenizer {'without' if known is None else f'with the id {known} for'} {name}"
                raise BadInput(got, f"the id {number}, as in the model's vocabulary", ANOTHERS)

    def ids(self, text: str, special: bool = False) -> list[int]:
        """Ids of a text, with control tokens read as such; `special` adds begin and end of a sequence.

        Raises:
            BadInput: the tokenizer fails.
        """
        try:
            if isinstance(self.tokenizer, Tokenizer):
                return list(self.tokenizer.encode(text, add_special_tokens=special).ids)
            return list(self.tokenizer(text, add_special_tokens=special, padding=False, truncation=False)["input_ids"])
        except Exception as error:  # its settings come from unchecked files
            got = f"a tokenizer that fails ({shown(str(error))})"
            raise BadInput(got, "one that reads a prompt", "fetch its files again") from error

    def framed(self, text: str, first: int | None, last: int | None, special: bool = True) -> list[int]:
        """Ids of a text that begins and ends with control tokens, `first` and `last`; `special` as for `ids`.

        Raises:
            BadInput: other ids are first or last: the tokenizer is damaged, or reads control tokens as text.
        """
        ids = self.ids(text, special)
        if not ids or (ids[0], ids[-1]) != (first, last):
            got = f"a tokenizer that begins with {ids[:1]} and ends with {ids[-1:]}"
            known = first is not None and last is not None
            expected = f"{first} and {last}" if known else "control tokens there"
            raise BadInput(got, expected, f"{ANOTHERS}, or split_special_tokens is on")
        return ids

    def check(self, prompt: str, images: Iterable[int] = ()) -> None:
        """Refuse a prompt that contains a control token.

        A token that was added to a vocabulary is a control token if it is special to the tokenizer, if the model uses
        it as one, or if its name has the form <|name|>; all others are text.

        Args:
            prompt: words.
            images: ids of image tokens.

        Raises:
            BadInput: it contains a control token, or the tokenizer reads words as image tokens.
        """
        added = self._added if isinstance(self.tokenizer, Tokenizer) else self.tokenizer.added_tokens_decoder
        read = set(self.ids(prompt))
        names = [token.content for i, token in added.items() if i in read and self._controls(token)]
        if names or (image_tokens := read.intersection(images)):
            name = shown(names[0]) if names else "of an image"
            if not names and not str(self._name(min(image_tokens))).startswith(IMAGE_NAMES):
                raise BadInput("a tokenizer that reads words as tokens of an image", "that of this model", ANOTHERS)
            raise BadInput(f"a prompt with the control token {name}", "words alone", "leave it out or write it apart")

    @cached_property
    def _added(self) -> dict[int, AddedToken]:
        """Added tokens of the copy of a bare tokenizer, which does not change; Emu3.5's has 131,283."""
        return dict(self.tokenizer.get_added_tokens_decoder())

    def _controls(self, token: AddedToken) -> bool:
        return token.special or token.content in self._control or MARK.fullmatch(token.content) is not None


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of tokenizer.json: some classes of transformers build another, which splits words differently.

    Raises:
        BadInput: it is missing or damaged.
    """
    path = folder / "tokenizer.json"
    text = read_text(path, "the tokenizer of prompts", "fetch it, see docs/targets")
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing more special
        raise BadInput(f"a damaged file ({error})", "a tokenizer", "fetch it again", where=path) from error
