"""LlamaGen's transformer against a dense re-implementation, and every kind of decoder on it against plain AR."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from helpers.llamagen_tiny import (
    CAPTION,
    CLASSES,
    CODES,
    PREFIX,
    SIDE,
    condition,
    reference,
    tiny_folder,
    transformer_tensors,
)
from helpers.passes import keep
from spatialspec import SpatialPipeline
from spatialspec.core.grid import Grid
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Verdict
from spatialspec.methods.hawk import HawkConfig, HawkHeads
from spatialspec.methods.network import DraftNetwork
from spatialspec.methods.predictors import SSDConfig, SSDPredictors
from spatialspec.targets.llamagen.target import LlamaGenTarget

KINDS = ("class", "text")
CLOSE = {"atol": 1e-5, "rtol": 0.0}
PROMPTS = {"class": ["golden retriever", "417", "3"], "text": ["a red apple", "a cat", "two blue hearts"]}
IDS = (207, 417, 3)
LENGTHS = (4, 7, PREFIX)


@cache
def features() -> dict[str, Tensor]:
    """Of captions of three lengths."""
    draw = torch.Generator().manual_seed(5)
    pairs = zip(PROMPTS["text"], LENGTHS, strict=True)
    return {prompt: torch.randn(length, CAPTION, generator=draw) for prompt, length in pairs}


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tiny_folder(tmp_path_factory.mktemp("llamagen"), request.param)
    if request.param == "text":
        save_file(features(), made / "captions.safetensors")
    return made


def target_of(folder: Path) -> LlamaGenTarget:
    target = SpatialPipeline.from_pretrained(folder).target
    assert isinstance(target, LlamaGenTarget)
    return target


def expected(kind: str, image: int, tokens: list[int], columns: int) -> Tensor:
    """Logits (2, tokens + 1, V) of both streams of a prompt, the whole prefix padded as in the published sampler."""
    tensors, rows = transformer_tensors(kind), []
    seen = torch.arange(PREFIX) >= PREFIX - LENGTHS[image] if kind == "text" else torch.ones(1, dtype=torch.bool)
    for stream in range(2):
        if kind == "class":
            prefix = condition(tensors, (IDS[image], CLASSES)[stream])
        else:
            padded = torch.zeros(PREFIX, CAPTION)
            padded[seen] = features()[PROMPTS["text"][image]]
            prefix = condition(tensors, (padded, tensors["cls_embedding.uncond_embedding"])[stream])
        rows.append(reference(tensors, prefix, seen, tokens, columns))
    return torch.stack(rows)


@pytest.mark.parametrize("size", ["6x6", "3x5"])
@pytest.mark.parametrize("images", [(0,), (1, 2), (0, 1, 2)], ids=str)
def test_one_pass_equals_the_dense_model(folder, images, size):
    target, grid = target_of(folder), Grid.parse(size)
    kind = target.model.config.kind
    session = target.session([PROMPTS[kind][i] for i in images], [""] * len(images), target.default, grid)
    rng = random.Random(1)
    tokens = [[rng.randrange(CODES) for _ in range(grid.cells - 1)] for _ in images]
    scored = session.score([State(grid)] * len(images), [Proposal.chain(0, row) for row in tokens])
    for image, row, scores in zip(images, tokens, scored, strict=True):
        want = expected(kind, image, row, grid.columns)
        assert want.std() > 0.5, "flat logits would hide every mistake"
        torch.testing.assert_close(scores.logits, want, **CLOSE)


def random_tree(rng: random.Random, first: int, room: int) -> Proposal:
    """Up to eight nodes, sometimes none."""
    proposal = Proposal()
    depth: list[int] = []
    for _ in range(rng.randrange(9) if room else 0):
        parents = [ROOT, *(i for i, d in enumerate(depth) if d + 1 < room)]
        parent = rng.choice(parents)
        d = 0 if parent == ROOT else depth[parent] + 1
        if proposal.add(first + d, rng.randrange(CODES), parent) == len(depth):
            depth.append(d)
    return proposal


def check_rows(kind: str, image: int, grid: Grid, state: State, proposal: Proposal, scores: Scores) -> None:
    """Every row of a pass against the dense model on the path that leads there."""
    for row in range(-1, len(proposal)):
        path: list[int] = []
        node = row
        while node != ROOT:
            path.insert(0, proposal.tokens[node])
            node = proposal.parents[node]
        want = expected(kind, image, [*state.tokens, *path], grid.columns)[:, -1]
        torch.testing.assert_close(scores.logits[:, row + 1], want, **CLOSE)


@pytest.mark.parametrize("seed", range(3))
def test_trees_of_a_ragged_batch_equal_sequential_scoring(folder, seed):
    """Three images with guidance, each with its own tree and accepted path, one of them closed on the way."""
    target, grid, rng = target_of(folder), Grid(3, 4), random.Random(seed)
    kind = target.model.config.kind
    session = target.session(PROMPTS[kind], [""] * len(PROMPTS[kind]), target.default, grid)
    images, states, ragged = [0, 1, 2], [State(grid)] * 3, False
    for turn in range(4):
        trees = [random_tree(rng, s.frontier, min(3, grid.cells - s.frontier - 1)) for s in states]
        scored = session.score(tuple(states), trees)
        ragged |= len({state.frontier for state in states}) > 1
        for place, image in enumerate(images):
            check_rows(kind, image, grid, states[place], trees[place], scored[place])
            path: list[int] = []
            children = [i for i, parent in enumerate(trees[place].parents) if parent == ROOT]
            while children and rng.random() < 0.7:
                path.append(rng.choice(children))
                children = [i for i, parent in enumerate(trees[place].parents) if parent == path[-1]]
            verdict = Verdict(tuple(path), token=rng.randrange(CODES))
            states[place] = keep(session, place, states[place], trees[place], verdict)
        done = [place for place, state in enumerate(states) if state.complete or (turn == 1 and place == 0)]
        session.drop(done)
        images = [image for place, image in enumerate(images) if place not in done]
        states = [state for place, state in enumerate(states) if place not in done]
    assert ragged, "the images went on in step"


def random_drafts(width: int) -> list[DraftNetwork]:
    torch.manual_seed(2)
    heads = HawkHeads(HawkConfig(width))
    for weight in (heads.horizontal, heads.vertical):
        torch.nn.init.normal_(weight, std=0.1)
    return [part.requires_grad_(False) for part in (heads, SSDPredictors(SSDConfig(width)))]


@pytest.mark.parametrize("method", ["jacobi", "hawk", "spatial", "ssd-strict"])
def test_exact_methods_draw_ars_tokens(folder, method):
    target = target_of(folder)
    pipeline, words = SpatialPipeline(target, random_drafts(target.width)), PROMPTS[target.model.config.kind]
    ar = pipeline(words, method="ar", seed=3, top_k=40)
    assert len(set(ar.tokens)) == 3 and all(len(set(tokens)) > 8 for tokens in ar.tokens)
    out = pipeline(words, method=method, seed=3, top_k=40)
    assert out.tokens == ar.tokens and out.report.seed_exact
    assert pipeline(words[1], method=method, seed=4, top_k=40).tokens == ar.tokens[1:2], "alone it is the same picture"


def test_defaults_and_the_order_of_warping_are_the_published_ones(folder):
    target = target_of(folder)
    guidance, top_k = {"class": (4.0, 2000), "text": (7.5, 1000)}[target.model.config.kind]
    assert target.default == Sampling(guidance=guidance, temperature=1.0, top_k=top_k, top_p=1.0)
    c, u = 3 * torch.randn(2, 5, 3000, generator=torch.Generator().manual_seed(0))
    sampling = replace(target.default, temperature=0.7, top_p=0.9)
    logits = (u + (c - u) * guidance) / 0.7
    logits = logits.masked_fill(logits < logits.topk(top_k).values[:, -1:], -math.inf)
    ordered, order = logits.sort(descending=True)
    beyond = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1) > 0.9
    logits = logits.masked_fill(torch.zeros_like(beyond).scatter(1, order, beyond), -math.inf)
    torch.testing.assert_close(sampling.distribution(torch.stack((c, u))), logits.softmax(-1), **CLOSE)


def test_a_negative_prompt_takes_the_place_of_none(folder):
    target = target_of(folder)
    words, state = PROMPTS[target.model.config.kind], [State(Grid(2, 2))]
    plain, negated = (target.session(words[:1], [n], target.default, Grid(2, 2)) for n in ("", words[1]))
    other = target.session(words[1:2], [""], target.default, Grid(2, 2))
    (a,), (b,), (c,) = (session.score(state, [Proposal()]) for session in (plain, negated, other))
    torch.testing.assert_close(b.logits[0], a.logits[0], **CLOSE)
    torch.testing.assert_close(b.logits[1], c.logits[0], **CLOSE)
    assert not torch.allclose(a.logits[1], b.logits[1], atol=1e-2)


def test_no_guidance_is_one_stream_and_bfloat16_comes_close(folder):
    target = SpatialPipeline.from_pretrained(folder, torch_dtype=torch.bfloat16).target
    assert target.model.output.weight.dtype == torch.bfloat16
    kind = target.model.config.kind
    session = target.session(PROMPTS[kind][:1], [""], Sampling(), Grid(SIDE, SIDE))
    tokens = list(range(20))
    (scores,) = session.score([State(Grid(SIDE, SIDE))], [Proposal.chain(0, tokens)])
    want = expected(kind, 0, tokens, SIDE)[:1]
    assert scores.logits.shape == want.shape
    assert (scores.logits.float() - want).abs().mean() < 0.1 * want.std()


def test_a_grid_beyond_the_trained_one_is_refused(folder):
    pipeline = SpatialPipeline.from_pretrained(folder)
    with pytest.raises(ValueError, match=r"got size 7x6, expected at most 6x6"):
        pipeline("3", size="7x6")
