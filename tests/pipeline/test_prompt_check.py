"""The one check of a single prompt."""

import pytest

from spatialspec.core.errors import BadInput
from spatialspec.io.prompts import check_prompt


@pytest.mark.parametrize("text", ["a", "a" * 10_000, " padded ", "tab\tline\nbell\x07 zero\u200bwidth", "\U0010ffff é"])
def test_text_is_kept_as_it_is(text):
    assert check_prompt(text) is text


@pytest.mark.parametrize(
    ("text", "got"),
    [("", "an empty prompt"), (" \n", "an empty prompt"), ("a" * 10_001, "a prompt of 10,001 characters"),
     ("a\0b", r"a prompt with '\\x00'"), ("\ud83d", r"a prompt with '\\ud83d'"), (None, "the prompt None"),
     (3, "the prompt 3"), (b"cat", "the prompt b'cat'"), (["cat"], r"the prompt \['cat'\]")],
)  # fmt: skip
def test_refuse(text, got):
    with pytest.raises(BadInput, match=f"own.txt, line 3: got {got}"):
        check_prompt(text, "own.txt, line 3")
