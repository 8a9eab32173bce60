"""Lumina-mGPT 2.0 from disk to images: ids, prompts and sizes. Its authors' figures: `test_published_fixtures.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from helpers.recipes import run_recipes
from helpers.tiny_chameleon import CODES
from helpers.tiny_lumina2 import FIRST, tiny_lumina2
from spatialspec import BadInput, SpatialPipeline
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.targets.chameleon import lumina
from spatialspec.targets.chameleon.lumina import ChameleonXLLMXForConditionalGeneration
from spatialspec.targets.chameleon.lumina2 import Lumina2Target
from spatialspec.targets.loading import load_target, wrap

GRID = Grid(4, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lumina2(tmp_path_factory.mktemp("lumina2") / "lumina2")


@pytest.fixture(scope="module")
def loaded(folder: Path) -> dict[str, Any]:
    """As a user loads them."""
    model = ChameleonXLLMXForConditionalGeneration.from_pretrained(folder)
    return {"model": model, "processor": AutoTokenizer.from_pretrained(folder)}


def test_what_a_checkpoint_says(folder: Path) -> None:
    target: Any = load_target(folder)
    assert isinstance(target, Lumina2Target) and target.default == Sampling(guidance=4.0, top_k=4096)
    assert target.ids.tolist() == list(range(FIRST, FIRST + CODES))
    assert target.words.tokenizer.convert_ids_to_tokens(target.row_end) == ["<reserved08799>"]
    assert target.grid == Grid(768 // 4, 768 // 4), "4 pixels a cell in the tiny one"


def test_prompts_are_those_of_the_published_code(folder: Path, loaded: dict[str, Any]) -> None:
    """Tokenized in one piece, as there: words and the end of the message; the tokenizer's last token begins them."""
    target: Any = load_target(folder)
    tokenizer, words = loaded["processor"], "Two cats,\n \u00e9t\u00e9 <b> "
    text = f"Generate an image of 32x16 according to the following prompt:\n{words}<reserved08706>"
    opening = tokenizer.convert_tokens_to_ids(["<racm3:break>", "<reserved08801>", "<reserved08802>"])
    given: Any = wrap(**loaded)
    for made in (target, given):
        conditional, unconditional = made.prompt_ids([words], [""], 2, GRID)
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert conditional == [tokenizer.eos_token_id, *ids, *opening] and unconditional == opening
    assert tokenizer.bos_token is None
    loaded["processor"].bos_token = "<|im_start|>"
    try:
        (row,) = wrap(**loaded).prompt_ids(["a cat"], [""], 1, GRID)  # type: ignore[attr-defined]
        assert row[0] == tokenizer.convert_tokens_to_ids("<|im_start|>")
    finally:
        loaded["processor"].bos_token = None


def test_what_is_refused(folder: Path, tmp_path: Path, loaded: dict[str, Any]) -> None:
    pipe = SpatialPipeline.from_pretrained(folder)
    for size in ("4x6", "4x16"):
        with pytest.raises(BadInput, match=f"got size {size}, expected multiples of 4 that have a size token"):
            pipe("a cat", size=size)
    for words in ("a cat <reserved08706>", "a cat <racm3:break>"):
        with pytest.raises(BadInput, match="control token"):
            pipe(words, size="4x8")
    with pytest.raises(BadInput, match=r"got no encoder of images.*--self-distil PROMPTS"):
        pipe.target.codes(torch.zeros(1, 16, 16, 3, dtype=torch.uint8))  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match=r"a tokenizer of class|a processor of class"):
        wrap(loaded["model"], object())
    pipe.target.vq.quantize.embedding = torch.nn.Embedding(CODES + 1, 4)  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match=f"image tokens {FIRST} to {FIRST + CODES}, expected ids from 0 to"):
        Lumina2Target(loaded["model"], loaded["processor"], "x", pipe.target.vq)  # type: ignore[attr-defined]


def test_recipes_of_the_page(
    folder: Path, loaded: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lumina, "USUAL", 16)  # pixels a side
    run_recipes("lumina-mgpt-2", {"Lumina-mGPT-2.0": folder}, loaded)
    assert (tmp_path / "dog.png").stat().st_size > 0
