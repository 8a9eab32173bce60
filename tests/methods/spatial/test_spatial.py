"""`spatial`: AR's tokens whatever the tree, and a memory that gives back what the target said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.toys import ToySession, ToyTarget, Trial
from spatialspec.core.context import DecodeContext
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.decode import Image, decode
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.draft_model import weight
from spatialspec.methods.spatial.drafter import Spatial, SpatialOptions
from spatialspec.methods.spatial.guide import CORRECTED, NEW
from spatialspec.methods.spatial.memory import FADE, NONE, REACH, TAU, Candidates, Entry, Memory, Ranking
from spatialspec.methods.spatial.starts import STARTS

SAMPLING = Sampling(guidance=1.5)
TARGET = ToyTarget.random("3x2", 4, 1, deviation=0.4)
DRAFTS = [TARGET.drafts(kind, 0) for kind in ("hawk", "spatial-model")]

SETTINGS = [
    SpatialOptions(),
    SpatialOptions(budget=40, front=1.0, candidates=3),
    SpatialOptions(budget=8, front=0.5, candidates=2),
    SpatialOptions(budget=1, front=0, candidates=1),
]


def noises(count: int) -> list[Noise]:
    return [Noise(seed, TARGET.grid.cells, 4) for seed in range(count)]


def law(tokens: list[int]) -> Tensor:
    """The target's distribution of the cell behind `tokens`."""
    prefix = 0
    for token in tokens:
        prefix = TARGET.child(prefix, token)
    return SAMPLING.distribution(TARGET.logits[:, prefix])


def drafted(settings: SpatialOptions, noise: Noise) -> Image:
    context = DecodeContext(TARGET, DRAFTS, SAMPLING, TARGET.grid, noise)
    rule = Coupled(noise)
    return Image(State(TARGET.grid), Spatial(context, settings, rule), rule, SAMPLING)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_draws_ars_tokens(settings: SpatialOptions, start: str) -> None:
    """Whatever the tree; no tree is larger than its budget, and there are branches where there is room for them."""
    ar = Trial("ar", "coupled", SAMPLING, TARGET).tokens(noises(20))
    images = [drafted(SpatialOptions(**{**settings.explicit, "start": start}), noise) for noise in noises(20)]
    largest = accepted = branched = 0
    for step in decode(ToySession(TARGET, 2), images):
        largest, accepted = max(largest, len(step.proposal)), accepted + len(step.verdict.path)
        branched += len(set(step.proposal.parents)) < len(step.proposal)
    assert (np.array([image.state.tokens for image in images]) == ar).all()
    assert 0 < largest <= settings.budget and accepted
    assert (branched > 0) == (settings.budget > 1)


@pytest.mark.parametrize("price", [0.05, 0.2, 1.0])
def test_a_price_ends_the_tree(price: float) -> None:
    """The tree without a price as far as its nodes are as likely as that; the main path and AR's tokens do not change.

    Nodes are added the likeliest first, so the shorter proposal is the start of the longer one.
    """
    shorter = 0
    for noise in noises(20):
        plain, priced = (drafted(SpatialOptions(budget=24, front=0.7, price=p), noise) for p in (0, price))
        for step in decode(ToySession(TARGET, 1), [plain]):
            if step.before.frontier:
                full, cut = step.proposal, priced.drafter.propose(step.before)
                count = len(cut)
                assert (cut.cells, cut.tokens, cut.parents) == (
                    full.cells[:count], full.tokens[:count], full.parents[:count],
                )  # fmt: skip
                likely = probabilities_of(priced.drafter, full, step.before)
                main = min(priced.drafter.options.main, TARGET.grid.cells - step.before.frontier)
                assert likely[main:] == sorted(likely[main:], reverse=True), "the likeliest first"
                assert count == main + sum(one >= price for one in likely[main:])
                shorter += count < len(full)
            priced.drafter.observe(step)
        images = [drafted(SpatialOptions(budget=24, front=0.7, price=price), noise)]
        list(decode(ToySession(TARGET, 1), images))
        assert images[0].state.tokens == plain.state.tokens
    assert shorter


def probabilities_of(drafter: Spatial, proposal: Proposal, state: State) -> list[float]:
    """The probability of every node, worked out anew: its candidate's, times that of its parent."""
    likely: list[float] = []
    paths: list[list[int]] = []
    for cell, token, parent in zip(proposal.cells, proposal.tokens, proposal.parents, strict=True):
        before = list(state.tokens) if parent < 0 else paths[parent]
        guesses = drafter.memory.find(cell, Memory.key(before))
        rank = None if guesses is None else [guesses.token(k) for k in range(guesses.size)].index(token)
        own = 1.0 if guesses is None else guesses.probability(rank)
        likely.append(own * (1.0 if parent < 0 else likely[parent]))
        paths.append([*before, token])
    return likely


def test_budget_of_none_is_ar() -> None:
    (step, *others) = decode(ToySession(TARGET, 2), [drafted(SpatialOptions(budget=0), noises(1)[0])])
    assert len(others) == TARGET.grid.cells - 1 and not any(len(s.proposal) for s in (step, *others))


def test_remembers_what_the_pass_said() -> None:
    """The guess behind every node that stays open is the best token under the target's law behind its whole path."""
    seen = branches = 0
    for noise in noises(20):
        image = drafted(SpatialOptions(budget=24, front=0.5, candidates=4), noise)
        before = image.state
        for step in decode(ToySession(TARGET, 2), [image]):
            proposal, memory = step.proposal, image.drafter.memory
            paths = [list(before.tokens)]
            for token, parent in zip(proposal.tokens, proposal.parents, strict=True):
                paths.append([*paths[parent + 1], token])
            for path in paths:
                if step.after.frontier <= len(path) < TARGET.grid.cells:
                    guesses = memory.find(len(path), Memory.key(path))
                    best = law(path).log() + noise.gumbel([len(path)])[0]
                    if [p for p in paths if Memory.key(p) == Memory.key(path) and len(p) == len(path)] == [path]:
                        assert guesses.token(0) == int(best.argmax())
                        seen += 1
                        branches += path[: step.after.frontier] != list(step.after.tokens)
            before = step.after
    assert seen > 50 and branches > 5


CODES = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [-1.0, 0.0]])


def ranking(score: torch.Tensor, count: int) -> Ranking:
    best = score.topk(count, dim=-1)
    return Ranking.of(best.indices.numpy(), best.values.numpy())


def memory(*rows: tuple[list[int], int, int]) -> Memory:
    made = Memory(CODES)
    for before, best, pass_index in rows:
        score = torch.full((1, 256), -torch.inf)
        score[0, best], score[0, 255 - best] = 2.0, 0.0
        made.add(9, Memory.key(before), Entry(ranking(score, 2), 0, pass_index))
    return made


def probabilities(found: Candidates | None) -> list[float]:
    assert found is not None
    return [found.probability(rank) for rank in range(found.size)]


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([([0, 0, 1, 2], 1, 5), ([0, 0, 0, 1], 2, 5)], 1),  # the same token before the cell
        ([([1, 1, 1, 2], 1, 5), ([0, 0, 1, 2], 2, 5)], 2),  # a longer match
        ([([0, 0, 0, 1], 1, 5), ([0, 0, 0, 3], 2, 5)], 1),  # no match: 1 lies nearer to 2 than 3 does
        ([([3, 0, 1, 2], 1, 4), ([3, 0, 1, 2], 2, 5)], 2),  # the same tokens: the later pass
        ([([0, 0, 1, 2], 1, 1), ([0, 0, 0, 1], 2, 9)], 1),  # a match outlives some passes
        ([([0, 0, 1, 2], 1, 1), ([0, 0, 0, 1], 2, 160)], 2),  # but not for ever
    ],
)
def test_the_row_that_fits_best(rows: list[tuple[list[int], int, int]], best: int) -> None:
    assert memory(*rows).find(9, Memory.key([0, 0, 1, 2])).token(0) == best


def test_worse_matches_and_older_rows_are_trusted_less() -> None:
    asked = Memory.key([0, 1, 2, 0])
    rows = [([0, 1, 2, 0], 9), ([3, 1, 2, 0], 9), ([3, 3, 2, 0], 9), ([3, 3, 3, 0], 9), ([3, 3, 3, 3], 9)]
    found = [probabilities(memory((before, 1, pass_index)).find(9, asked)) for before, pass_index in rows]
    assert all(abs(sum(p) - 1) < 1e-6 for p in found)
    firsts = [p[0] for p in found]
    assert firsts == sorted(firsts, reverse=True) and firsts[0] > firsts[3] > firsts[4]
    old = probabilities(memory(([0, 1, 2, 0], 1, 7), ([3, 3, 3, 3], 2, 9)).find(9, asked))
    assert old[0] < found[0][0]


def test_forgets_cells_and_knows_where_it_knows_nothing() -> None:
    made = memory(([0, 0, 1, 2], 1, 5))
    assert made.find(8, Memory.key([0])) is None and made.find(9, Memory.key([0])) is not None
    made.forget(10)
    assert made.find(9, Memory.key([0])) is None
    assert Memory.key([7]) == (7,) + (NONE,) * (REACH - 1) and Memory.key(range(10)) == (9, 8, 7, 6)


def test_all_of_many_rows_are_found_again() -> None:
    """However many rows a cell has, each speaks for the tokens that it read, and for those nearest to them."""
    read = [[a, b, c, d] for a in (0, 2) for b in range(4) for c in range(4) for d in range(4)]
    made = memory(*((before, number, 1) for number, before in enumerate(read)), ([3, 3, 3, 3], 200, 2))
    for number, before in enumerate(read):
        assert made.find(9, Memory.key(before)).token(0) == number
    assert made.find(9, Memory.key([1, 2, 3, 1])).token(0) == read.index([0, 2, 3, 1])  # 1 lies nearer to 0 than to 2


@pytest.mark.parametrize("count", [1, 5, 12])
def test_the_best_tokens_of_a_row_and_how_likely_they_are(count: int) -> None:
    """Against a softmax over what a full sort puts first; tokens without mass among them."""
    score = torch.randn(7, 12, generator=torch.Generator().manual_seed(3)) * 4
    score[2, :6] = -torch.inf
    said = ranking(score, count)
    best, tokens = score.sort(dim=-1, descending=True)
    for number in range(len(score)):
        for equal, age in ((0, 0), (2, 1), (REACH, 3), (REACH, 9)):
            found = Entry(said, number).candidates(equal, age)
            tau = TAU[equal, min(age, 3)]
            expected = (best[number, :count] / tau).softmax(-1)
            assert torch.allclose(torch.tensor(probabilities(found)), expected, atol=1e-6)
            likely = [rank for rank in range(found.size) if expected[rank] > 0]
            assert [found.token(rank) for rank in likely] == [int(tokens[number, rank]) for rank in likely]


@pytest.mark.parametrize(
    ("budget", "main"), [(3, 3), (24, 22), (35, 33), (40, 37), (48, 40), (64, 43), (128, 86), (512, 344)]
)
def test_nodes_of_the_main_path(budget: int, main: int) -> None:
    """A third of the nodes is the tree's, but forty of them come first, and one in twelve is the tree's even then."""
    assert SpatialOptions(budget=budget).main == main


def test_numbers_of_the_memory() -> None:
    """Fitted, in docs/papers/spatial.md: one that is changed by accident changes few passes, if any, of one image."""
    assert SpatialOptions().model_dump() == {
        "slots": 0,
        "budget": 64,
        "tolerance": 0.0,
        "price": 0.0,
        "front": 0.33,
        "candidates": 32,
        "start": "copy",
        "guide": "none",
        "runs": 1,
    }
    assert (REACH, FADE, SpatialOptions.horizon) == (4, 1 / 32, 36.0)
    assert ([weight(equal) for equal in range(4)], NEW, CORRECTED) == ([0.8, 0.5, 0.3, 0.3], (0, 0), (1, 3))
    np.testing.assert_allclose(TAU[:, 0], [1.6, 0.45, 0.3, 0.25, 0.25])
    np.testing.assert_allclose(TAU[0] / TAU[0, 0], [1, 1.25, 1.5, 1.75])
