"""`generate(custom_generate=spatialspec.transformers_generate)`: the sequences of transformers, in fewer passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Emu3ForConditionalGeneration, Emu3Processor, JanusForConditionalGeneration, JanusProcessor

import spatialspec
from helpers.real_targets import MAKES
from helpers.tiny_checkpoints import tiny_emu3, tiny_janus
from spatialspec import BadInput, Grid, SpatialPipeline

SIZE = {"ratio": "5:3", "image_area": 15 * 64}
GENERATE: dict[str, Any] = {"custom_generate": spatialspec.transformers_generate, "max_new_tokens": 99}


@pytest.fixture(scope="module")
def emu3(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = tiny_emu3(tmp_path_factory.mktemp("emu3"))
    return Emu3ForConditionalGeneration.from_pretrained(folder).eval(), Emu3Processor.from_pretrained(folder)


def inputs_of(processor: Any, texts: list[str]) -> dict[str, Any]:
    options = {"return_for_image_generation": True, "return_tensors": "pt", "padding": True, "padding_side": "left"}
    return dict(processor(text=texts, **options, **SIZE))


def allowed_by(model: Any, processor: Any) -> Any:
    """The layout of an image, as the documentation of transformers writes it."""
    names, tokenizer = model.vocabulary_mapping, processor.tokenizer

    def allowed(_: int, ids: torch.Tensor) -> Any:
        offset = len(ids) - int(torch.nonzero(ids == tokenizer.image_wrapper_token_id)[0])
        if offset > 18:
            return [[tokenizer.eof_token_id, tokenizer.eoi_token_id, tokenizer.eos_token_id][offset - 19]]
        return [names.eol_token_id] if offset % 6 == 0 else names.image_tokens

    return allowed


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("method", ["ar", "spatial"])
def test_greedy_is_theirs(emu3: tuple[Any, Any], guidance: float, method: str) -> None:
    """Every id, row ends and closing tokens too; several prompts with padding are those of one by one."""
    model, processor = emu3
    texts = ["a red apple", "two cats on a mat by the sea"]
    negative = inputs_of(processor, [""])["input_ids"]
    more = {"guidance_scale": guidance, "negative_prompt_ids": negative} if guidance != 1.0 else {}
    expected = []
    for text in texts:
        one = inputs_of(processor, [text])
        one.pop("image_sizes")
        theirs = model.generate(
            **one, do_sample=False, max_new_tokens=99, prefix_allowed_tokens_fn=allowed_by(model, processor), **more
        )
        expected.append(theirs[0, one["input_ids"].shape[1] :].tolist())
    both = inputs_of(processor, texts)
    ours = model.generate(**both, **more, **GENERATE, do_sample=False, processor=processor, method=method)
    start = both["input_ids"].shape[1]
    assert ours[:, start:].tolist() == expected and torch.equal(ours[:, :start], both["input_ids"])


def test_sampling_is_the_pipelines(emu3: tuple[Any, Any]) -> None:
    model, processor = emu3
    inputs = inputs_of(processor, ["a red apple"])
    options = {"do_sample": True, "temperature": 0.9, "top_k": 20, "seed": 5}
    ours = model.generate(**inputs, **GENERATE, **options, processor=processor)
    pipe = SpatialPipeline.wrap(model, processor)
    asked = {"guidance_scale": 1.0, "temperature": 0.9, "top_k": 20, "seed": 5, "size": "3x5"}
    expected = pipe("a red apple", **asked).tokens[0]
    image = ours[0, inputs["input_ids"].shape[1] : -3].view(3, 6)
    assert tuple(model.vocabulary_mapping.convert_bpe2img(image).flatten().tolist()) == expected
    again = model.generate(**inputs, **GENERATE, **(options | {"seed": 6}), processor=processor)
    assert not torch.equal(ours, again)


def test_chameleon(tmp_path: Path) -> None:
    pipe: Any = SpatialPipeline.from_pretrained(MAKES["anole"].make(tmp_path / "anole"))
    target = pipe.target
    ids = torch.tensor(target.prompt_ids(["a cat"], [""], 1, target.grid))
    ours = target.model.generate(ids, **GENERATE, do_sample=True, seed=3, processor=target.words.tokenizer)
    expected = pipe("a cat", seed=3, guidance_scale=1.0, temperature=1.0, top_p=1.0, top_k=50).tokens[0]
    assert target.ids[list(expected)].tolist() == ours[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("kind", ["liquid", "simplear"])
def test_language_models(kind: str, tmp_path: Path) -> None:
    """Two prompts with padding: greedy tokens are those of `generate` for each alone, sampled ones the pipeline's."""
    pipe: Any = SpatialPipeline.from_pretrained(MAKES[kind].make(tmp_path / kind))
    target, asked = pipe.target, {"size": "4x4", "guidance_scale": 3.0}
    model, words = target.model, list(MAKES[kind].prompts)
    *rows, none = (target.prompt_ids(words, ["", ""], 2, Grid(4, 4))[i] for i in (0, 2, 1))
    guided = {"guidance_scale": 3.0, "negative_prompt_ids": torch.tensor([none])}
    expected = []
    for row in rows:
        allowed = {"prefix_allowed_tokens_fn": lambda *_: target.ids.tolist(), "max_new_tokens": 16}
        theirs = model.generate(torch.tensor([row]), do_sample=False, pad_token_id=0, **allowed, **guided)
        expected.append(theirs[0, len(row) :].tolist())
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    ours = {**GENERATE, **guided, "attention_mask": mask, "processor": target.words.tokenizer, "image_sizes": (4, 4)}
    for method in ("ar", "spatial"):
        found = model.generate(ids, **ours, do_sample=False, method=method)
        assert found[:, longest:].tolist() == expected and torch.equal(found[:, :longest], ids)
    found = model.generate(ids, **ours, do_sample=True, temperature=0.9, top_k=20, seed=5)
    sampled = pipe(words, temperature=0.9, top_k=20, top_p=1.0, seed=[5, 6], **asked).tokens
    assert found[:, longest:].tolist() == [target.ids[list(tokens)].tolist() for tokens in sampled]


def test_what_is_refused(emu3: tuple[Any, Any], tmp_path: Path) -> None:
    model, processor = emu3
    inputs = inputs_of(processor, ["a red apple"])
    with pytest.raises(BadInput, match="got no processor"):
        model.generate(**inputs, **GENERATE)
    with pytest.raises(BadInput, match="expected negative_prompt_ids beside it"):
        model.generate(**inputs, **GENERATE, processor=processor, guidance_scale=3.0)
    with pytest.raises(BadInput, match="got 2 sizes of images"):
        both = inputs_of(processor, ["a", "b"]) | {"image_sizes": torch.tensor([[3, 5], [5, 3]])}
        model.generate(**both, **GENERATE, processor=processor)
    with pytest.raises(BadInput, match="magic"):
        model.generate(**inputs, **GENERATE, processor=processor, method="magic")
    janus = tiny_janus(tmp_path / "janus")
    other = JanusForConditionalGeneration.from_pretrained(janus)
    with pytest.raises(BadInput, match="whose image tokens are ids of its text"):
        spatialspec.transformers_generate(other, torch.tensor([[1]]), processor=JanusProcessor.from_pretrained(janus))
