"""Janus on a tiny random checkpoint in the published layout, against the `generate` of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from helpers.real_targets import same_as_ar
from helpers.recipes import run_recipes
from helpers.tiny_checkpoints import CODES, tiny_janus
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.pipeline import SpatialPipeline
from spatialspec.targets.janus import JanusTarget
from spatialspec.targets.loading import wrap

PROMPTS = ["a red apple", "two cats on a mat by the sea"]
GRID = Grid(4, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_janus(tmp_path_factory.mktemp("janus"))


@pytest.fixture(scope="module")
def target(folder: Path) -> JanusTarget:
    return JanusTarget.from_folder(folder)


def theirs(target: JanusTarget, prompts: list[str], **options: Any) -> list[tuple[int, ...]]:
    """Greedy tokens of transformers, prompts written as its documentation does."""
    messages = [[{"role": "user", "content": [{"type": "text", "text": prompt}]}] for prompt in prompts]
    texts = [target.processor.apply_chat_template(m, add_generation_prompt=True) for m in messages]
    inputs = target.processor(text=texts, generation_mode="image", return_tensors="pt", padding=True)
    tokens = target.model.generate(**inputs, generation_mode="image", do_sample=False, **options)
    return [tuple(row) for row in tokens.tolist()]


@pytest.mark.parametrize("guidance", [5.0, 1.5])
def test_greedy_is_generate(target: JanusTarget, guidance: float) -> None:
    """Two prompts of different lengths in one batch: we pad neither, transformers pads on the left."""
    out = SpatialPipeline(target)(PROMPTS, method="ar", temperature=0.0, guidance_scale=guidance)
    assert out.tokens == theirs(target, PROMPTS, guidance_scale=guidance)
    assert out.tokens[0] != out.tokens[1] and len(set(out.tokens[1])) > 1


def test_guidance_1_raises_in_generate(target: JanusTarget) -> None:
    """transformers doubles the batch whatever the guidance; ours runs one stream, the conditional one."""
    with pytest.raises(RuntimeError, match="must match"):
        theirs(target, PROMPTS[:1], guidance_scale=1.0)
    one = SpatialPipeline(target)(PROMPTS[0], method="ar", temperature=0.0, guidance_scale=1.0)
    almost = SpatialPipeline(target)(PROMPTS[0], method="ar", temperature=0.0, guidance_scale=1.0 + 1e-6)
    assert one.tokens == almost.tokens


@pytest.mark.parametrize("sampling", [Sampling(guidance=5.0), Sampling(guidance=1.0, temperature=0.9, top_k=20)])
def test_every_exact_decoder_draws_ar(target: JanusTarget, sampling: Sampling) -> None:
    same_as_ar(target, GRID, sampling)


def test_prompts(target: JanusTarget) -> None:
    """The chat template, the token that begins an image, and padding in the unconditional row."""
    conditional, unconditional = target.prompt_ids(["a red apple"], [""], 2, GRID)
    tokenizer = target.processor.tokenizer
    text = f"{tokenizer.bos_token}<|User|>: a red apple\n\n<|Assistant|>:<begin_of_image>"
    assert tokenizer.decode(conditional) == text
    pads = [tokenizer.pad_token_id] * (len(conditional) - 2)
    assert unconditional == [tokenizer.bos_token_id, *pads, tokenizer.boi_token_id]
    _, negative = target.prompt_ids(["a red apple"], ["two cats"], 2, GRID)
    assert tokenizer.decode(negative) == text.replace("a red apple", "two cats")


def test_what_the_checkpoint_says(target: JanusTarget) -> None:
    assert (target.grid, target.vocabulary, target.width) == (GRID, CODES, 32)
    assert target.default == Sampling(guidance=5.0) and target.codebook.shape == (CODES, 4)
    tokens = torch.tensor([3, 9])
    assert torch.equal(target.embed(tokens), target.model.prepare_embeddings_for_image_generation(tokens))
    with pytest.raises(ValueError, match="got size 2x6, expected 4x4"):
        SpatialPipeline(target)("a red apple", size="2x6")
    with pytest.raises(ValueError, match="got an empty prompt"):
        SpatialPipeline(target)(" ")
    with pytest.raises(ValueError, match=r"got a prompt of \d+ tokens, expected at most 240 in front of 4x4"):
        SpatialPipeline(target)("apple " * 300)


def test_pictures(target: JanusTarget) -> None:
    """Of the size of the model's pictures, with its own decoder's colours, rounded; previews are their upper rows."""
    tokens = tuple(torch.randint(CODES, (16,), generator=torch.Generator().manual_seed(0)).tolist())
    with torch.no_grad():
        pixels = target.model.decode_image_tokens(torch.tensor([tokens]))[0]
    picture = target.pixels(tokens, GRID)
    assert picture.size == (64, 64) and picture.mode == "RGB"
    shown = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(64, 64, 3)
    torch.testing.assert_close(shown.float(), (pixels.clamp(-1, 1) + 1) * 127.5, atol=0.51, rtol=0)
    preview = SpatialPipeline(target).preview(State(GRID, tokens[:9]))
    assert preview is not None and preview.size == (64, 32)


def test_conversion_of_transformers_raises(target: JanusTarget) -> None:
    """Why the target converts pictures itself: what `decode_image_tokens` returns, `postprocess` cannot take."""
    with torch.no_grad():
        pixels = target.model.decode_image_tokens(torch.zeros(1, 16, dtype=torch.long))
    with pytest.raises(ValueError):
        target.processor.postprocess(list(pixels.float()), return_tensors="PIL.Image.Image")


def test_around_a_loaded_model(target: JanusTarget) -> None:
    """`wrap` leaves the model usable, and draws the same."""
    pipe = SpatialPipeline(target=wrap(target.model, target.processor))
    expected = SpatialPipeline(target)("a red apple", seed=2)
    out = pipe("a red apple", seed=2)
    assert out.tokens == expected.tokens and isinstance(out.images[0], Image.Image)
    assert pipe.target.name == target.name and pipe.target.fingerprint == target.fingerprint
    assert theirs(target, PROMPTS, guidance_scale=5.0) == theirs(target, PROMPTS, guidance_scale=5.0)


def test_negative_prompt(target: JanusTarget) -> None:
    """Shorter or longer than the prompt, it is read and changes the picture; another sampler draws the same with it."""
    pipe = SpatialPipeline(target)
    plain = pipe("a red apple", seed=1).tokens
    for negative in ("cats", "two cats on a mat by the blue sea"):
        given = pipe("a red apple", seed=1, negative_prompt=negative)
        assert given.tokens != plain
        assert given.tokens == pipe("a red apple", seed=1, negative_prompt=negative, method="ar").tokens


def test_a_chat_template_of_another_model_is_refused(folder: Path) -> None:
    """Janus 1.3B has one, and its authors' script does not use what we write."""
    loaded = JanusTarget.from_folder(folder)
    loaded.processor.chat_template = "User: {{ messages[0]['content'][0]['text'] }}"
    with pytest.raises(ValueError, match=r"got a chat template without <\|User\|>"):
        wrap(loaded.model, loaded.processor)


def test_recipes_of_the_page(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = JanusTarget.from_folder(folder)
    run_recipes("janus", {"Janus-Pro-7B": folder}, {"model": loaded.model, "processor": loaded.processor})
    assert (tmp_path / "fox.png").stat().st_size > 0
