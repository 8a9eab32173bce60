"""Text stays text: a prompt with a control token in it is refused, and ordinary ones are read as transformers does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer

from helpers.real_targets import MAKES
from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.pipeline import SpatialPipeline
from spatialspec.targets.words import Words

KINDS = ("janus", "emu3", "anole", "lumina", "lumina2", "liquid", "simplear")
ORDINARY = (
    "a red fox", "two cats, on a mat; (by the sea)", "<b>bold</b> & <|", "|> image start", "A\nB\tC",
    "\u00fc\u00e9\u4e2d\u6587 \U0001f98a",
    "<s", "s>", "3*5", "<|imagestart|>", "IMG IMG A Z", "<reserved>", "User: x\n\nAssistant:", " leading", "trailing ",
)  # fmt: skip


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SpatialPipeline]:
    make = {kind: MAKES[kind].make(tmp_path_factory.mktemp(kind) / kind) for kind in KINDS}
    return {kind: SpatialPipeline.from_pretrained(folder) for kind, folder in make.items()}


def control(target: Any) -> list[str]:
    """Names of all tokens that no words have."""
    tokenizer = target.words.tokenizer
    own = isinstance(tokenizer, Tokenizer)
    added = tokenizer.get_added_tokens_decoder() if own else tokenizer.added_tokens_decoder
    return [token.content for token in added.values()]


@pytest.mark.parametrize("kind", KINDS)
def test_control_tokens_are_refused(kind: str, pipes: dict[str, SpatialPipeline]) -> None:
    target: Any = pipes[kind].target
    grid = Grid.parse(MAKES[kind].size) if MAKES[kind].size else target.grid
    names = control(target)
    assert len(names) > 4
    for name in names:
        for prompt in (name, f"a {name} b", f"a{name}9*9{name}"):
            with pytest.raises(BadInput, match="control token"):
                target.check_prompts([prompt], [""], grid)
            with pytest.raises(BadInput, match="control token"):
                target.check_prompts(["a fox"], [prompt], grid)
    with pytest.raises(BadInput, match="control token"):
        pipes[kind](f"a {names[0]} b", size=grid)


@pytest.mark.parametrize("kind", ["janus", "emu3"])
@pytest.mark.parametrize("prompt", ORDINARY)
def test_words_are_read_as_before(kind: str, prompt: str, pipes: dict[str, SpatialPipeline]) -> None:
    """The ids that the processor of transformers gives."""
    target: Any = pipes[kind].target
    found = target.prompt_ids([prompt], [""], 2, Grid(3, 5))
    if kind == "emu3":
        size = {"ratio": "5:3", "image_area": 15 * 64}
        inputs = target.processor(text=[prompt, ""], return_for_image_generation=True, **size)
        assert found == [list(ids) for ids in inputs["input_ids"]]
        return
    message = {"role": "user", "content": [{"type": "text", "text": prompt.strip()}]}
    text = target.processor.apply_chat_template([message], add_generation_prompt=True)
    assert found[0] == list(target.processor(text=text, generation_mode="image")["input_ids"][0])


def small(**settings: Any) -> Tokenizer:
    found = Tokenizer.from_str(
        '{"version":"1.0","added_tokens":[],"model":{"type":"WordLevel","vocab":{"a":0,"b":1,"?":2},"unk_token":"?"},'
        '"pre_tokenizer":{"type":"Whitespace"}}'
    )
    names = ("\u00fc", "ab cd", "<cat>", "<break>", "<|x|>", "<\uff5cx\uff5c>")
    found.add_tokens([AddedToken(name) for name in names])
    for name, options in settings.items():
        getattr(found, name)(**options)
    return found


def test_words_that_were_added_are_text() -> None:
    words = Words(small(), ["ab cd", "<break>", "a"])
    for prompt in ("a \u00fc b", "ab cd", "a ab cd", "a <cat>"):
        words.check(prompt)
    for prompt in ("<|x|>", "a <\uff5cx\uff5c>", "a <break> b"):
        with pytest.raises(BadInput, match="a prompt with the control token '<"):
            words.check(prompt)
    with pytest.raises(BadInput, match="of an image"):
        words.check("a b", [1])


def test_no_prompt_is_cut_or_padded() -> None:
    """As a tokenizer's file may say, or as somebody set it for a batch before."""
    words = Words(small(enable_truncation={"max_length": 2}, enable_padding={"length": 8}))
    assert words.ids("a b a b") == [0, 1, 0, 1]


def test_what_others_do_to_the_tokenizer_changes_nothing(pipes: dict[str, SpatialPipeline]) -> None:
    target: Any = pipes["janus"].target
    before = target.prompt_ids(["two cats on a mat"], [""], 1, target.grid)
    tokenizer = target.processor.tokenizer
    tokenizer(["a", "b"], padding="max_length", truncation=True, max_length=4)
    assert target.prompt_ids(["two cats on a mat"], [""], 1, target.grid) == before
    if hasattr(tokenizer, "split_special_tokens"):
        tokenizer.split_special_tokens = True
        tokenizer._tokenizer.encode_special_tokens = True
        with pytest.raises(BadInput, match="a tokenizer that begins with"):
            target.prompt_ids(["two cats on a mat"], [""], 1, target.grid)
        tokenizer.split_special_tokens = tokenizer._tokenizer.encode_special_tokens = False
    tokenizer.model_max_length = "x"
    with pytest.raises(BadInput, match="a tokenizer that fails"):
        target.prompt_ids(["two cats on a mat"], [""], 1, target.grid)
    tokenizer.model_max_length = 10**30


def test_a_tokenizer_of_another_model(pipes: dict[str, SpatialPipeline], tmp_path: Path) -> None:
    """Ids behind the end of the embedding."""
    target: Any = pipes["emu3"].target
    target.words.tokenizer.add_special_tokens({"additional_special_tokens": ["<|more|>"]})
    target.processor.image_start_token, kept = "<|more|>", target.processor.image_start_token
    with pytest.raises(BadInput, match=r"got token \d+ in a prompt, expected less than \d+"):
        target.check_prompts(["a fox"], [""], Grid(3, 5))
    target.processor.image_start_token = kept
