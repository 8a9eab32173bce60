"""One pass over a tree against one token at a time, for a small random transformer: equal to 1e-5 in fp32."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

import pytest
import torch
from torch import Tensor

from helpers.passes import keep
from helpers.sessions import CLOSE, CODES, GRIDS, Target, copied, model, path_to, random_tree, session_of, texts
from spatialspec.core.context import DecodeContext
from spatialspec.core.grid import Grid
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Verdict
from spatialspec.decode import Image, decode
from spatialspec.methods.ar import AR
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.hawk import Hawk, HawkConfig, HawkHeads, HawkOptions
from spatialspec.targets import session as session_module
from spatialspec.targets.session import TargetSession


def written(grid: str, tokens: tuple[int, ...]) -> State:
    """The state behind passes of one token each."""
    return State(Grid.parse(grid), tokens, len(tokens), (len(tokens) - 1,) if tokens else ())


@lru_cache(maxsize=400)
def step(grid: str, image: int, tokens: tuple[int, ...]) -> tuple[TargetSession, Scores]:
    """A session after passes of one token each, and what the last said; goes on from a copy of the one before."""
    state = written(grid, tokens)
    if not tokens:
        session = session_of(grid, [image])
    else:
        before, _ = step(grid, image, tokens[:-1])
        session = copied(before)
        keep(session, 0, written(grid, tokens[:-1]), Proposal(), Verdict((), tokens[-1]))
    (scores,) = session.score([state], [Proposal()])
    return session, scores


def sequential(grid: str, image: int, tokens: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Logits and states (2, ...) behind all tokens, from empty proposals only."""
    _, scores = step(grid, image, tokens)
    return scores.logits[:, 0], scores.hidden[:, 0]


def check(grid: str, image: int, state: State, tree: Proposal, scores: Scores) -> None:
    """Every row whose cell is followed by another, in both streams."""
    assert scores.logits.shape == (2, 1 + len(tree), CODES)
    for node in range(-1, len(tree)):
        behind = (*state.tokens, *(tree.tokens[i] for i in path_to(tree, node)))
        if len(behind) < state.layout.cells:
            logits, hidden = sequential(grid, image, behind)
            torch.testing.assert_close(scores.logits[:, node + 1], logits, **CLOSE)
            torch.testing.assert_close(scores.hidden[:, node + 1], hidden, **CLOSE)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("seed", range(3))
def test_trees_in_a_ragged_batch(grid: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three images with trees of their own, the prefix in the first pass, scattered paths kept, images finished.

    There are too few slots at first.
    """
    monkeypatch.setattr(session_module, "WIDEST", -7)
    draw = random.Random(seed)
    session, open_images = session_of(grid, [0, 1, 2]), [0, 1, 2]
    states = [State(Grid.parse(grid)) for _ in range(3)]
    scattered = ragged = 0
    slots = session.cache.capacity
    while open_images:
        now = [states[i] for i in open_images]
        trees = [random_tree(state, draw.choice((0, 4, 10)), draw) for state in now]
        scored = session.score(now, trees)
        done = []
        for place, (image, tree, scores) in enumerate(zip(list(open_images), trees, scored, strict=True)):
            check(grid, image, states[image], tree, scores)
            path = path_to(tree, draw.randrange(-1, len(tree)))
            scattered += path != tuple(range(len(path)))
            end = states[image].frontier + len(path) == states[image].layout.cells
            verdict = Verdict(path, None if end else draw.randrange(CODES))
            states[image] = keep(session, place, states[image], tree, verdict)
            if states[image].complete or (image == 1 and len(open_images) == 3 and states[image].frontier > 5):
                done.append(place)  # image 1 is dropped midway
        ragged += len({states[image].frontier for image in open_images}) > 1
        session.drop(done)
        open_images = [image for place, image in enumerate(open_images) if place not in done]
    assert scattered and ragged and session.cache.capacity > slots, "the test has seen what it is for"


@pytest.mark.parametrize("grid", GRIDS)
def test_sequential_scoring_is_teacher_forcing(grid: str) -> None:
    shape = Grid.parse(grid)
    codes = torch.randint(CODES, (2, shape.cells), generator=torch.Generator().manual_seed(2))
    codes[1] = codes[0]
    forced = model().teacher_forced(texts(3)[2:4], codes, shape.rows, shape.columns)
    tokens = tuple(codes[0].tolist())
    for length in range(shape.cells):
        logits, hidden = sequential(grid, 1, tokens[:length])
        torch.testing.assert_close(hidden, forced[:, length], **CLOSE)
        torch.testing.assert_close(logits, model().head(forced[:, length]), **CLOSE)


def test_rounds_and_blocks() -> None:
    """A refined block leaves the cache as it was; a block committed as it stands goes on from its last cell."""
    grid = "4x4"
    session, state = session_of(grid, [0]), State(Grid.parse(grid))
    session.score([state], [Proposal()])
    state = keep(session, 0, state, Proposal(), Verdict((), 3))
    for tokens in ([1, 2, 3, 4], [1, 5, 3, 0]):
        chain = Proposal.chain(1, tokens)
        (scores,) = session.score([state], [chain])
        check(grid, 0, state, chain, scores)
        state = keep(session, 0, state, chain, Verdict(refined=(0, 0, 0, 0)))
    block = Proposal.chain(1, [6, 7, 8, 9], final=True)
    (scores,) = session.score([state], [block])
    state = keep(session, 0, state, block, Verdict((0, 1, 2, 3)))
    assert state.tokens == (3, 6, 7, 8, 9)
    tree = random_tree(state, 10, random.Random(5))
    (scores,) = session.score([state], [tree])
    check(grid, 0, state, tree, scores)


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("grid", GRIDS)
def test_a_batch_is_its_images_alone(grid: str, streams: int) -> None:
    """Hawk under coupled noise: AR's tokens, whoever shares the batch."""
    shape, sampling = Grid.parse(grid), Sampling(guidance=1.0 if streams == 1 else 2.0, temperature=0.8)
    heads = HawkHeads(HawkConfig(32)).requires_grad_(False)
    torch.nn.init.normal_(heads.horizontal, std=0.05, generator=torch.Generator().manual_seed(3))

    def images(rows: Sequence[int], drafted: bool) -> list[Image]:
        made = []
        for row in rows:
            noise = Noise(row, shape.cells, CODES)
            rule, context = Coupled(noise), DecodeContext(Target(), [heads], sampling, shape, noise)  # type: ignore
            hawk = Hawk(context, HawkOptions(vertical_samples=2), rule)
            made.append(Image(State(shape), hawk if drafted else AR(), rule, sampling))
        for _ in decode(session_of(grid, rows, streams), made):
            pass
        return made

    together = [image.state for image in images([0, 1, 2], True)]
    assert together == [images([row], True)[0].state for row in range(3)]
    assert [state.tokens for state in together] == [image.state.tokens for image in images([0, 1, 2], False)]
    assert min(state.passes for state in together) < shape.cells


def test_rotations_stay_in_their_place() -> None:
    """Captured passes of a grid read them there, whatever was drawn in between."""
    target = Target()
    first, *_ = [target._rotations(Grid.parse(grid)) for grid in GRIDS]
    assert target._rotations(Grid.parse(GRIDS[0])) is first
