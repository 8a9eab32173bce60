"""One pass of a language model over a tree against whole sequences without a cache: equal to 1e-5 in fp32."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from helpers.language import CODES, SIZES, Toy, after
from helpers.passes import keep
from helpers.replays import replayed
from helpers.sessions import path_to, random_tree
from spatialspec.core.grid import Grid, Grids, Layout
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Verdict
from spatialspec.targets import runners
from spatialspec.targets import session as session_module
from spatialspec.targets.language_decoder import LanguageDecoder
from spatialspec.targets.runners import Padded, Runner

Made = Callable[[], Runner]
CLOSE = {"atol": 1e-5, "rtol": 0.0}
GRID, SEVERAL = Grid(3, 4), Grids((Grid(2, 3), Grid(2, 4)))


def check(toy: Toy, kind: str, forced: int, image: int, state: State, tree: Proposal, scores: Scores) -> None:
    """Every row of the pass whose cell is followed by another, in both streams."""
    assert scores.logits.shape == (2, 1 + len(tree), CODES)
    for node in range(-1, len(tree)):
        behind = (*state.tokens, *(tree.tokens[i] for i in path_to(tree, node)))
        for stream in range(2):
            if len(behind) < state.layout.cells:
                hidden = after(kind, toy.decoder.attention, 2 * image + stream, behind, state.layout, forced)
                torch.testing.assert_close(scores.hidden[stream, node + 1], hidden, **CLOSE)
                torch.testing.assert_close(scores.logits[stream, node + 1], toy.output(toy.norm(hidden)), **CLOSE)


@pytest.mark.parametrize("runner", [Runner, Padded, replayed])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("kind", "forced", "layout"),
    [("llama", 0, GRID), ("emu3", 1, GRID), ("chameleon", 2, GRID), ("llama", 0, SEVERAL), ("emu3", 1, SEVERAL)],
)
def test_trees_in_a_ragged_batch(
    kind: str,
    forced: int,
    layout: Layout,
    attention: str,
    runner: Callable[[], Runner],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three images, prompts of six lengths, trees of their own, scattered paths kept, images finished and dropped.

    There are too few slots at first.
    """
    monkeypatch.setattr(session_module, "WIDEST", -8)
    monkeypatch.setattr(runners, "SEEN", 4)
    draw, toy = random.Random(forced + 4), Toy(kind, attention)
    toy.runner = runner()
    session, open_images = toy.session(layout, [0, 1, 2], forced), [0, 1, 2]
    states = [State(layout) for _ in range(3)]
    scattered = ragged = crossed = over = 0
    slots = session.cache.capacity
    while open_images:
        now = [states[i] for i in open_images]
        trees = [random_tree(state, draw.choice((0, 4, 9)), draw) for state in now]
        scored = session.score(now, trees)
        done = []
        for place, (image, tree, scores) in enumerate(zip(list(open_images), trees, scored, strict=True)):
            check(toy, kind, forced, image, states[image], tree, scores)
            farthest = max(range(len(tree)), key=tree.cells.__getitem__, default=-1)
            path = path_to(tree, draw.choice((farthest, draw.randrange(-1, len(tree)))))
            scattered += path != tuple(range(len(path)))
            crossed += any((tree.cells[node] + 1) % layout.grids[0].columns == 0 for node in path[:-1])
            over += any(tree.cells[node] + 1 == layout.grids[0].cells for node in path[:-1])
            end = states[image].frontier + len(path) == layout.cells
            verdict = Verdict(path, None if end else draw.randrange(CODES))
            states[image] = keep(session, place, states[image], tree, verdict)
            if states[image].complete or (image == 1 and len(open_images) == 3 and states[image].frontier > 6):
                done.append(place)  # image 1 is dropped midway
        ragged += len({states[image].frontier for image in open_images}) > 1
        session.drop(done)
        open_images = [image for place, image in enumerate(open_images) if place not in done]
    assert over or len(layout.grids) == 1
    assert scattered and ragged and crossed and session.cache.capacity > slots, "the test has seen what it is for"


def test_rounds_and_blocks() -> None:
    """A refined block leaves the cache as it was; a block over a row end is committed as it stands."""
    kind, forced, toy = "emu3", 1, Toy("emu3")
    session, state = toy.session(GRID, [0], forced), State(GRID)
    session.score([state], [Proposal()])
    state = keep(session, 0, state, Proposal(), Verdict((), 3))
    for tokens in ([1, 2, 3, 4], [1, 5, 3, 0]):
        chain, verdict = Proposal.chain(1, tokens), Verdict(refined=(0, 0, 0, 0))
        (scores,) = session.score([state], [chain])
        check(toy, kind, forced, 0, state, chain, scores)
        state = keep(session, 0, state, chain, verdict)
    block, verdict = Proposal.chain(1, [6, 7, 8, 9], final=True), Verdict((0, 1, 2, 3))
    (scores,) = session.score([state], [block])
    state = keep(session, 0, state, block, verdict)
    tree = random_tree(state, 9, random.Random(5))
    (scores,) = session.score([state], [tree])
    check(toy, kind, forced, 0, state, tree, scores)


def test_a_picture_begun_in_the_first_pass() -> None:
    """Prompt and written tokens in one pass, row ends in between."""
    toy, chain = Toy("emu3"), Proposal.chain(0, [1, 2, 3, 4, 5, 6], final=True)
    (scores,) = toy.session(GRID, [2], 1).score([State(GRID)], [chain])
    check(toy, "emu3", 1, 2, State(GRID), chain, scores)


def test_the_model_stays_as_it_is() -> None:
    toy, ids = Toy("llama"), torch.tensor([[1, 2, 3]])
    before = toy.model(ids).last_hidden_state
    names = list(toy.model.state_dict())
    toy.session(GRID, [0], 0).score([State(GRID)], [Proposal()])
    assert torch.equal(toy.model(ids).last_hidden_state, before) and list(toy.model.state_dict()) == names
    assert isinstance(toy.decoder.norm, type(toy.model.norm)) and toy.model.norm is toy.decoder.norm


@pytest.mark.parametrize("attention", ["flash_attention_2", "flex_attention"])
def test_attention_that_takes_no_mask_is_refused(attention: str) -> None:
    model = LlamaModel(LlamaConfig(**SIZES))
    model.config._attn_implementation = attention
    with pytest.raises(ValueError, match=f"got attention '{attention}', expected one of sdpa, eager"):
        LanguageDecoder(model)
