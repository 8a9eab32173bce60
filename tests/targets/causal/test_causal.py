"""Liquid and SimpleAR against transformers: ids of prompts, greedy tokens of `generate`, and whole distributions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoTokenizer,
    ChameleonVQVAE,
    GemmaForCausalLM,
    LogitsProcessorList,
    Qwen2ForCausalLM,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from helpers.real_targets import MAKES
from helpers.recipes import run_recipes
from helpers.tiny_causal import tiny_liquid, tiny_simplear
from helpers.tiny_chameleon import vq_config
from spatialspec import BadInput, SpatialPipeline
from spatialspec.core.grid import Grid
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.targets import simplear
from spatialspec.targets.chameleon.files import convert
from spatialspec.targets.loading import load_target, wrap
from spatialspec.targets.simplear import SimpleARTarget

MODELS = {"liquid": GemmaForCausalLM, "simplear": Qwen2ForCausalLM}
PROMPTS = ("a red apple", "two cats on a mat by the sea")
LOW = "An image of aerial view, overexposed, low quality, deformation, a poor composition, bad hands, bad teeth, bad eyes, bad limbs, distortion"  # noqa: E501
TEXTS = {  # of the authors' scripts: both prompts as text, without the <bos> that the tokenizer puts in front
    "liquid": ("{} Generate an image based on this description.<boi>", "<unconditional><boi>"),
    "simplear": ("<|t2i|>A highly realistic image of {}<|soi|>", f"<|t2i|>{LOW}<|soi|>"),
}
GRID = Grid(4, 4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: MAKES[kind].make(tmp_path_factory.mktemp(kind) / kind) for kind in MODELS}


@pytest.fixture(params=MODELS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def theirs(folder: Path, kind: str) -> tuple[Any, Any, int]:
    """Model, tokenizer, and the id of the first code as the authors count it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return MODELS[kind].from_pretrained(folder).eval(), tokenizer, len(tokenizer)


def rows(tokenizer: Any, kind: str, prompt: str) -> list[Tensor]:
    return [tokenizer(text.format(prompt), return_tensors="pt").input_ids for text in TEXTS[kind]]


def test_what_a_checkpoint_says(kind: str, folders: dict[str, Path]) -> None:
    target: Any = load_target(folders[kind])
    model, _, offset = theirs(folders[kind], kind)
    assert target.ids.tolist() == list(range(offset, model.config.vocab_size))
    published = {"liquid": Sampling(7.0, 0.99, 4096, 0.96), "simplear": Sampling(6.0)}
    assert target.default == published[kind] and target.row_end == () and target.patch == {"liquid": 4}.get(kind, 16)


def test_prompts_are_those_of_the_published_scripts(kind: str, folders: dict[str, Path]) -> None:
    target: Any = load_target(folders[kind])
    _, tokenizer, _ = theirs(folders[kind], kind)
    for prompt in (*PROMPTS, " {braces} \n and <b> "):
        expected = [row[0].tolist() for row in rows(tokenizer, kind, prompt)]
        assert target.prompt_ids([prompt], [""], 2, GRID) == expected
        assert target.prompt_ids([prompt], [""], 1, GRID) == expected[:1]
    (_, negative) = target.prompt_ids(["a"], ["fog"], 2, GRID)
    text = {"liquid": TEXTS["liquid"][0].format("fog"), "simplear": "<|t2i|>fog<|soi|>"}[kind]
    assert negative == tokenizer(text).input_ids
    given: Any = wrap(*theirs(folders[kind], kind)[:2])
    assert given.prompt_ids(PROMPTS, ["", ""], 2, GRID) == target.prompt_ids(PROMPTS, ["", ""], 2, GRID)


def test_greedy_tokens_are_those_of_generate(kind: str, folders: dict[str, Path]) -> None:
    """With its own guidance, which is of log-probabilities, and text tokens without probability."""
    model, tokenizer, offset = theirs(folders[kind], kind)

    def images_only(_: Tensor, scores: Tensor) -> Tensor:
        return scores.index_fill(1, torch.arange(offset), float("-inf"))

    for guidance in (1.0, 3.0):
        expected = []
        for prompt in PROMPTS:
            row, other = rows(tokenizer, kind, prompt)
            guided = {} if guidance == 1 else {"guidance_scale": guidance, "negative_prompt_ids": other}
            drawn = model.generate(
                row, do_sample=False, max_new_tokens=GRID.cells, min_new_tokens=GRID.cells, pad_token_id=0,
                logits_processor=LogitsProcessorList([images_only]), **guided,
            )  # fmt: skip
            expected.append(tuple((drawn[0, row.shape[1] :] - offset).tolist()))
        for method in ("ar", "spatial"):
            pipe = SpatialPipeline.from_pretrained(folders[kind])
            out = pipe(list(PROMPTS), size=GRID, temperature=0, guidance_scale=guidance, method=method)
            assert out.tokens == expected
        assert len(set(expected[0])) > 3


def test_a_guided_step_has_their_distribution(kind: str, folders: dict[str, Path]) -> None:
    """Every probability behind three tokens, with the authors' order: guidance, temperature, top-k, top-p."""
    model, tokenizer, offset = theirs(folders[kind], kind)
    target, written = load_target(folders[kind]), (5, 60, 17)
    for sampling in (target.default, replace(target.default, guidance=2.0), Sampling(1.5, 1.2, 30, 0.9)):
        behind = torch.tensor([[offset + token for token in written]])
        with torch.no_grad():
            c, u = (model(torch.cat((row, behind), 1)).logits[0, -1:] for row in rows(tokenizer, kind, PROMPTS[1]))
        scores = (u + (c - u) * sampling.guidance)[:, offset:] / sampling.temperature
        warpers = LogitsProcessorList([TemperatureLogitsWarper(1.0)])
        if sampling.top_k:
            warpers.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            warpers.append(TopPLogitsWarper(sampling.top_p))
        expected = warpers(None, scores)[0].softmax(-1)
        session = target.session([PROMPTS[1]], [""], sampling, GRID)
        proposal = Proposal.chain(0, written)
        (found,) = session.score([State(GRID)], [proposal])
        p = sampling.distribution(found.logits)[-1]
        assert torch.allclose(p, expected, atol=2e-6)
    assert 2 < (p > 0).sum() <= 30 and p.max() < 0.9


def test_settings_of_the_text_model_are_not_followed(folders: dict[str, Path]) -> None:
    model, tokenizer, _ = theirs(folders["simplear"], "simplear")
    model.generation_config.temperature, model.generation_config.repetition_penalty = 0.7, 1.1
    with pytest.warns(UserWarning, match=r"repetition_penalty 1\.1 of generation_config\.json ignored"):
        assert wrap(model, tokenizer).default == Sampling(6.0)


def test_what_is_refused(folders: dict[str, Path]) -> None:
    for kind, name in (("liquid", "<boi>"), ("simplear", "<|soi|>")):
        model, tokenizer, _ = theirs(folders[kind], kind)
        with pytest.raises(BadInput, match="control token"):
            SpatialPipeline.wrap(model, tokenizer)(f"a cat {name}", size=GRID)
        other = AutoTokenizer.from_pretrained(folders["liquid" if kind == "simplear" else "simplear"])
        with pytest.raises(BadInput, match="a tokenizer without"):
            wrap(model, other)
        model.resize_token_embeddings(len(tokenizer))
        with pytest.raises(BadInput, match="expected image tokens behind them"):
            wrap(model, tokenizer)
        model.resize_token_embeddings(len(tokenizer) + 7)
        with pytest.raises(BadInput, match="7 image tokens behind"):
            wrap(model, tokenizer)
    model, tokenizer, _ = theirs(folders["simplear"], "simplear")
    model.config.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(BadInput, match="got layers with sliding_attention"):
        wrap(model, tokenizer)
    for kind, size, said in (("liquid", "3x5", "draws no other"), ("simplear", "3x4", "as many rows as columns"),
                             ("simplear", "23x23", "size 23x23, 529 tokens, expected fewer than 512")):  # fmt: skip
        with pytest.raises(BadInput, match=said):
            SpatialPipeline.from_pretrained(folders[kind])("a cat", size=size)


def test_without_an_image_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens are returned; pixels are refused before a pass is made."""
    pipe = SpatialPipeline.from_pretrained(tiny_simplear(tmp_path / "bare", decoder=False))
    whole = SpatialPipeline.from_pretrained(tiny_simplear(tmp_path / "whole"))
    given: dict[str, Any] = {"prompt": "a cat", "size": GRID, "seed": 0}
    out = pipe(**given, output_type="tokens")
    assert out.images == out.tokens == whole(**given).tokens
    monkeypatch.setattr(SimpleARTarget, "session", None)
    with pytest.raises(BadInput, match="output_type='tokens': make it with spatialspec convert"):
        pipe(**given)


@pytest.mark.parametrize(("kind", "name"), [("liquid", "Liquid_V1_7B"), ("simplear", "SimpleAR-0.5B-RL")])
def test_the_recipes_of_the_pages(
    kind: str, name: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(simplear, "SIDE", 4)
    model, tokenizer, _ = theirs(folders[kind], kind)
    run_recipes(kind, {name: folders[kind]}, {"model": model, "processor": tokenizer})
    assert len(list(tmp_path.glob("*.png"))) == 1


def test_metas_decoder_goes_into_a_folder_of_liquid(tmp_path: Path) -> None:
    """A folder as published has no sizes of it in config.json: then they are those of the published file."""
    folder = tiny_liquid(tmp_path / "liquid")
    expected = load_file(folder / "vq.safetensors")
    (folder / "vq.safetensors").unlink()
    with pytest.raises(BadInput, match=r"spatialspec convert vqgan\.ckpt"):
        load_target(folder)
    sizes = vq_config(resolution=16)
    reader = {name: torch.zeros_like(t) for name, t in ChameleonVQVAE(sizes).state_dict().items()}
    torch.save({"state_dict": reader | expected}, tmp_path / "vqgan.ckpt")
    convert(tmp_path / "vqgan.ckpt", folder)
    assert all(torch.equal(t, expected[name]) for name, t in load_file(folder / "vq.safetensors").items())
    load_target(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["vq_config"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=r"decoder\.conv_in\.bias: got \(32,\), expected \(512,\)"):
        load_target(folder)
