"""Lumina-mGPT from disk to pictures: prompt, sizes, row ends and norms; AR against the published order of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, ChameleonForConditionalGeneration

from helpers.recipes import run_recipes
from helpers.tiny_chameleon import CODES, PROMPTS, drafts, edit, write_lumina
from spatialspec.core.grid import Grid
from spatialspec.core.noise import Noise
from spatialspec.core.sampling import Sampling
from spatialspec.pipeline import SpatialPipeline
from spatialspec.targets.chameleon import lumina
from spatialspec.targets.chameleon.lumina import ChameleonXLLMXForConditionalGeneration, LuminaTarget
from spatialspec.targets.loading import load_target


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lumina(tmp_path_factory.mktemp("lumina") / "lumina")


def load(folder: Path) -> LuminaTarget:
    target = load_target(folder)
    assert isinstance(target, LuminaTarget)
    return target


def test_what_a_checkpoint_says(folder: Path):
    target = load(folder)
    assert target.default == Sampling(guidance=4.0, temperature=1.0, top_k=2000)
    assert target.vocabulary == CODES
    (row_end,) = target.row_end
    assert Tokenizer.from_file(str(folder / "tokenizer.json")).id_to_token(row_end) == "<reserved08799>"
    assert row_end not in target.ids, "nothing can draft or sample it"


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("Lumina-mGPT-7B-512", 512),
        ("Lumina-mGPT-7B-768-Omni", 768),
        ("models--Alpha-VLLM--Lumina-mGPT-7B-1024/snapshots/a512bc", 1024),
        ("mine", 768),
    ],
)
def test_the_name_says_the_size(folder: Path, name: str, pixels: int):
    model = ChameleonXLLMXForConditionalGeneration.from_pretrained(folder).eval()
    model.config.name_or_path = name
    target = LuminaTarget(model, Tokenizer.from_file(str(folder / "tokenizer.json")), "x", load(folder).vq)
    assert target.grid == Grid(pixels // 4, pixels // 4), "4 pixels a cell in the tiny one"


def test_prompts_say_the_size_twice(folder: Path):
    target, words = load(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    conditional, unconditional = target.prompt_ids(["a cat"], [""], 2, Grid(4, 6))
    assert words.decode(conditional, skip_special_tokens=False) == (
        "<s>Generate an image of 24x16 according to the following prompt:\na cat<reserved08706>"
        "<racm3:break><reserved08802><reserved08803>"
    ), "width before height in words, height before width in tokens, in patches of 2 x 2 cells"
    assert words.decode(unconditional, skip_special_tokens=False) == "<racm3:break><reserved08802><reserved08803>"
    (_, negative) = target.prompt_ids(["a cat"], ["blur"], 2, Grid(4, 6))
    assert "24x16 according to the following prompt:\nblur<reserved08706>" in words.decode(negative, False)


def test_sizes_that_the_model_can_say(folder: Path):
    pipe = SpatialPipeline(load(folder))
    for size in ("5x6", "4x7", "4x64"):
        with pytest.raises(ValueError, match=f"got size {size}, expected even numbers"):
            pipe("a cat", size=size)
    pipe.target.decoder.positions = 29
    with pytest.raises(ValueError, match="got size 4x8, 36 tokens with row ends, expected fewer than 29"):
        pipe("a cat", size="4x8")
    with pytest.raises(ValueError, match="got a prompt of"):
        pipe("a cat", size="4x6")


def published_order(model: Any, words: Tokenizer, prompt: str, guidance: float, noise: Noise | None) -> list[int]:
    """Draw 6 rows of 4 cells token by token as the published code does, without a cache; image ids follow 4."""
    text = f"Generate an image of 16x24 according to the following prompt:\n{prompt}<reserved08706>"
    ids = [words.token_to_id("<s>"), *words.encode(text, add_special_tokens=False).ids]
    begin = len(ids)
    ids += [words.token_to_id(token) for token in ("<racm3:break>", "<reserved08803>", "<reserved08802>")]
    tokens: list[int] = []
    while len(tokens) < 24:
        read = ids[begin + 3 :]
        if (len(read) + 1) % 5 == 0:
            ids.append(words.token_to_id("<reserved08799>"))
            continue
        rows = [ids, ids[begin:]]
        logits = [model.lm_head(model.model(torch.tensor([row])).last_hidden_state[0, -1]) for row in rows]
        guided = (guidance * (logits[0] - logits[1]) + logits[1])[4 : 4 + CODES]
        if noise is not None:
            guided = guided.log_softmax(-1) + noise.gumbel([len(tokens)])[0]
        tokens.append(int(guided.argmax()))
        ids.append(4 + tokens[-1])
    return tokens


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_ar_draws_in_the_published_order(folder: Path, temperature: float):
    model = ChameleonXLLMXForConditionalGeneration.from_pretrained(folder).eval().requires_grad_(False)
    words = Tokenizer.from_file(str(folder / "tokenizer.json"))
    noise = Noise(7, 24, CODES) if temperature else None
    wanted = published_order(model, words, "a cat", 4.0, noise)
    out = SpatialPipeline(load(folder))("a cat", method="ar", seed=7, temperature=temperature, size="6x4")
    assert out.tokens == [tuple(wanted)]
    assert len(set(wanted)) > 5
    assert out.report.target_passes == 24, "row ends cost no pass"
    assert out.images[0].size == (16, 24)


@pytest.mark.parametrize("size", ["6x4", "4x6"])
@pytest.mark.parametrize("method", ["jacobi", "hawk", "spatial", "spatial without drafts"])
def test_every_decoder_draws_what_ar_draws(folder: Path, method: str, size: str):
    target = load(folder)
    pipe = SpatialPipeline(target, [] if method.endswith("drafts") else drafts(target.width))
    ar = pipe(PROMPTS, method="ar", seed=5, size=size)
    out = pipe(PROMPTS, method=method.partition(" ")[0], seed=5, size=size)
    assert out.tokens == ar.tokens
    assert ar.report.target_passes == 24 > out.report.target_passes


@pytest.mark.parametrize("shards", [1, 2])
def test_norms_of_shards_are_those_of_transformers_repeated(tmp_path: Path, shards: int):
    folder = write_lumina(tmp_path / "lumina", shards)
    with pytest.raises(RuntimeError, match="mismatch"):  # pinned: transformers takes repeated ones only
        ChameleonForConditionalGeneration.from_pretrained(folder)
    model = ChameleonXLLMXForConditionalGeneration.from_pretrained(folder).eval()
    weights = dict(model.state_dict())
    assert weights["model.layers.0.self_attn.q_norm.weight"].shape == (shards, 8)
    for name, weight in weights.items():
        if "_norm." in name:
            heads = 4 if "q_norm" in name else 2
            weights[name] = weight.repeat_interleave(heads // shards, dim=0)
    theirs = ChameleonForConditionalGeneration(model.config).eval()
    missing, surplus = theirs.load_state_dict(weights, strict=False)
    assert not surplus
    assert all(name.startswith("model.vqmodel.") for name in missing)
    ids = torch.randint(4, 60, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        states = [m.model(ids).last_hidden_state for m in (model, theirs)]
    assert torch.allclose(*states, atol=1e-5)


def test_a_checkpoint_that_misses_or_adds_something_names_it(tmp_path: Path):
    folder = write_lumina(tmp_path / "lumina")
    weights = folder / "model.safetensors"
    edit(weights, add={"model.vqmodel.quant_conv.bias": torch.zeros(8)})  # some copies have the encoder; it is not read
    load_target(folder)
    edit(weights, add={"model.surplus": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"surplus weights model\.surplus"):
        load_target(folder)
    edit(weights, drop="model.surplus")
    edit(weights, drop="model.norm.weight")
    with pytest.raises(ValueError, match=r"no weights for model\.norm\.weight"):
        load_target(folder)
    (folder / "vq.safetensors").unlink()
    with pytest.raises(ValueError, match=r"got no image decoder.*spatialspec convert vqgan\.ckpt"):
        load_target(folder)


def test_recipes_of_the_page(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lumina, "USUAL", 24)  # pixels a side
    model = ChameleonXLLMXForConditionalGeneration.from_pretrained(folder)
    given = {"model": model, "processor": AutoTokenizer.from_pretrained(folder)}
    run_recipes("lumina-mgpt", {"Lumina-mGPT-7B-768": folder}, given)
    assert (tmp_path / "dog.png").stat().st_size > 0
