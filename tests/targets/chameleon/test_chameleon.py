"""Anole from disk to pictures: ids, prompts, AR against a plain loop over transformers, every decoder against AR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, ChameleonForConditionalGeneration

from helpers.recipes import run_recipes
from helpers.tiny_chameleon import CODES, PROMPTS, drafts, edit, random_vq, write_anole
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.pipeline import SpatialPipeline
from spatialspec.targets.chameleon.files import load_vq
from spatialspec.targets.chameleon.target import Anole, ChameleonTarget
from spatialspec.targets.loading import load_target, wrap


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_anole(tmp_path_factory.mktemp("chameleon") / "anole")


@pytest.fixture(scope="module")
def swin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_anole(tmp_path_factory.mktemp("chameleon") / "swin", swin_norm=True)


def load(folder: Path) -> ChameleonTarget:
    target = load_target(folder)
    assert isinstance(target, ChameleonTarget)
    return target


def names_of(target: ChameleonTarget, folder: Path) -> Any:
    """The ids of a prompt, by name."""
    return Tokenizer.from_file(str(folder / "tokenizer.json")).id_to_token


def test_what_a_checkpoint_says(folder: Path):
    target = load(folder)
    assert (target.name, target.grid, target.vocabulary) == ("anole", Grid(6, 6), CODES)
    assert target.default == Sampling(guidance=3.0, temperature=0.7, top_p=0.9)
    named = [names_of(target, folder)(int(target.ids[code])) for code in (0, 7, 10, 53)]
    assert named == ["IMGIMGAZ", "IMGIMGHZ", "IMGIMGBAZ", "IMGIMGFDZ"]
    assert torch.equal(target.codebook, random_vq().codebook)


def test_prompts_are_turns_and_then_an_image(folder: Path):
    target, name = load(folder), names_of(load(folder), folder)
    rows = target.prompt_ids(["a b"], [""], 2, target.grid)
    turn = ["<s>", "a", "Ġ", "b", "<reserved08706>", "<racm3:break>"]
    assert [[name(i) for i in row] for row in rows] == [turn, ["<s>", "<racm3:break>"]]
    (_, negative) = target.prompt_ids(["a b"], ["c"], 2, target.grid)
    assert [name(i) for i in negative] == ["<s>", "c", "<reserved08706>", "<racm3:break>"]
    assert len(target.prompt_ids(PROMPTS, ["", ""], 1, target.grid)) == 2


def test_only_its_own_grid(folder: Path):
    with pytest.raises(ValueError, match="got size 4x6, expected 6x6"):
        SpatialPipeline(load(folder))("a cat", size="4x6")


def test_transformers_itself_cannot_draw(folder: Path):
    """Pinned: its `forward` gives image tokens no probability, and it has no picture decoder; so we call the parts."""
    model = Anole.from_pretrained(folder).eval()
    target = load(folder)
    (row,) = target.prompt_ids(["a cat"], [""], 1, target.grid)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([row])).logits[..., target.ids]
    assert (logits == torch.finfo(logits.dtype).min).all()
    torch.manual_seed(0)
    drawn = model.generate(torch.tensor([row]), do_sample=True, max_new_tokens=30, eos_token_id=-1, pad_token_id=1)
    assert drawn.shape[1] == len(row) + 30
    assert not torch.isin(drawn[:, len(row) :], target.ids).any()
    assert not hasattr(model.model.vqmodel, "decoder")


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("norm", ["folder", "swin"])
def test_greedy_ar_is_a_plain_loop_over_transformers(request: pytest.FixtureRequest, norm: str, guidance: float):
    path = request.getfixturevalue(norm)
    model, target = ChameleonForConditionalGeneration.from_pretrained(path).eval(), load(path)
    streams = 1 if guidance == 1 else 2
    rows, tokens = target.prompt_ids(["a cat"], [""], streams, target.grid), []
    with torch.no_grad():
        for _ in range(target.grid.cells):
            logits = [model.lm_head(model.model(torch.tensor([row])).last_hidden_state[0, -1]) for row in rows]
            image = torch.stack(logits)[:, target.ids]
            guided = image[0] if streams == 1 else image[1] + guidance * (image[0] - image[1])
            tokens.append(int(guided.argmax()))
            rows = [[*row, int(target.ids[tokens[-1]])] for row in rows]
    out = SpatialPipeline(target)("a cat", method="ar", temperature=0, guidance_scale=guidance)
    assert out.tokens == [tuple(tokens)]
    assert len(set(tokens)) > 5


@pytest.mark.parametrize("norm", ["folder", "swin"])
@pytest.mark.parametrize("method", ["jacobi", "hawk", "spatial"])
def test_every_decoder_draws_what_ar_draws(request: pytest.FixtureRequest, norm: str, method: str):
    target = load(request.getfixturevalue(norm))
    pipe = SpatialPipeline(target, drafts(target.width))
    ar = pipe(PROMPTS, method="ar", seed=5)
    out = pipe(PROMPTS, method=method, seed=5)
    assert out.tokens == ar.tokens
    assert ar.tokens[0] != ar.tokens[1]
    assert ar.report.target_passes == 36 > out.report.target_passes


def test_pictures_show_the_tokens(folder: Path):
    target = load(folder)
    out = SpatialPipeline(target)("a cat", method="ar", seed=1)
    (picture,) = out.images
    assert (picture.size, picture.mode) == ((24, 24), "RGB")
    pixels = random_vq().decode(torch.tensor(out.tokens).view(1, 6, 6))
    shown = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)
    assert (shown - (pixels[0] + 1) * 127.5).abs().max() <= 0.501


def test_a_negative_prompt_changes_the_picture(folder: Path):
    pipe = SpatialPipeline(load(folder))
    plain, negative = (pipe("a cat", method="ar", seed=1, negative_prompt=words) for words in ("", "a dog"))
    assert plain.tokens != negative.tokens


def test_around_a_model_that_is_loaded(folder: Path):
    model, tokenizer = Anole.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    target = wrap(model, tokenizer)
    assert target.fingerprint == load(folder).fingerprint
    given = ChameleonTarget(model, Tokenizer.from_file(str(folder / "tokenizer.json")), "mine", load_vq(folder))
    tokens = [SpatialPipeline(t)("a cat", method="ar", seed=0).tokens for t in (load(folder), target, given)]
    assert tokens[0] == tokens[1] == tokens[2]
    model.config.name_or_path = "someone/anole"
    with pytest.raises(
        ValueError, match="got a model from 'someone/anole', expected one that was loaded from a folder"
    ):
        wrap(model, tokenizer)


def test_a_checkpoint_that_misses_or_adds_a_weight_names_it(tmp_path: Path):
    folder = write_anole(tmp_path / "anole")
    shard = sorted(folder.glob("model-*.safetensors"))[-1]
    edit(shard, add={"model.layers.7.surplus": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"surplus weights model\.layers\.7\.surplus"):
        load_target(folder)
    edit(shard, drop="model.layers.7.surplus")
    load_target(folder)
    for shard in folder.glob("model-*.safetensors"):
        edit(shard, drop="model.layers.1.self_attn.q_norm.bias")
    with pytest.raises(ValueError, match=r"no weights for model\.layers\.1\.self_attn\.q_norm\.bias"):
        load_target(folder)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tokenizer.json", None, "got no file .*tokenizer.json"),
        ("tokenizer.json", "{}", "expected a tokenizer"),
        ("config.json", '{"model_type": "chameleon"}', "vq_config, vocabulary_map"),
        (
            "config.json",
            '{"model_type": "chameleon", "vq_config": {"embed_dim": "x"}, "vocabulary_map": {}}',
            "vq_config",
        ),
    ],
)
def test_a_file_that_is_missing_or_damaged_is_named(tmp_path: Path, name: str, text: str | None, message: str):
    folder = write_anole(tmp_path / "anole")
    (folder / name).unlink()
    if text is not None:
        (folder / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        load_target(folder)


def test_a_vocabulary_without_what_begins_an_image(tmp_path: Path):
    folder = write_anole(tmp_path / "anole")
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace("<racm3:break>", "<other>"))
    with pytest.raises(ValueError, match="got no <racm3:break> in vocabulary_map"):
        load_target(folder)


def test_recipes_of_the_page(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    given = {"model": Anole.from_pretrained(folder), "processor": AutoTokenizer.from_pretrained(folder)}
    run_recipes("anole", {"Anole-7b": folder}, given)
    assert (tmp_path / "fox.png").stat().st_size > 0
