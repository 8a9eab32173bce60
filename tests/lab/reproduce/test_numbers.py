"""The figures of analyses against slow, literal versions of what they say they are."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from PIL import Image

from helpers.tiny import tiny_pipeline, tiny_target
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.lab.reproduce import hawk_fig4
from spatialspec.lab.reproduce.content_direction import regress
from spatialspec.lab.reproduce.context import ExperimentContext
from spatialspec.lab.reproduce.direction_heads import OFFSETS, REACH, ReadImages, image_losses, losses, train
from spatialspec.lab.reproduce.hawk_fig5 import divergence, rank_correlation
from spatialspec.lab.reproduce.hawk_fig6 import rejected
from spatialspec.lab.reproduce.images import changes
from spatialspec.lab.reproduce.readings import draft_distributions, inner_cells, readings
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

GRID = Grid(4, 5)


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> ExperimentContext:
    pipeline = tiny_pipeline(tmp_path_factory.mktemp("tiny"))
    return ExperimentContext(
        pipeline, Request.of(("red apple, 3d", "a cat"), pipeline.target.default, GRID, verifier="rejection")
    )


def test_readings_are_what_decoding_saw(context):
    """Tokens are AR's for the seeds of `bench`; head 1 right drafts cell t + 1 from the state that outputs cell t."""
    first, second = readings(context)
    drawn = [
        context.pipeline(p, method="ar", seed=s, size=GRID).tokens[0]
        for p, s in zip(context.request.prompts, context.request.seeds, strict=True)
    ]
    assert [tuple(r.tokens.tolist()) for r in (first, second)] == drawn
    heads = next(d for d in context.pipeline.drafts if hasattr(d, "horizontal") and torch.is_tensor(d.horizontal))
    target, t = context.target, 7
    state = target.norm(first.hidden[:, t])
    logits = target.output(state + F.silu(state @ heads.vertical[1].T))
    q = draft_distributions(target, heads, first, True, 1, Sampling(guidance=1.5))
    guided = logits[1] + 1.5 * (logits[0] - logits[1])
    assert torch.allclose(q[t], guided.softmax(-1), atol=1e-5)
    assert inner_cells(GRID, 2, 3).tolist() == [13, 14, 18, 19]


def of(states: torch.Tensor, tokens: torch.Tensor) -> ReadImages:
    """Images on GRID, as if a target had read them."""
    inner = torch.from_numpy(inner_cells(GRID, REACH, REACH))
    starts = torch.arange(0, len(tokens), GRID.cells)[:, None]
    return ReadImages(GRID, states, tokens, (starts + inner).flatten())


def test_loss_by_direction_is_the_cross_entropy_of_the_cell_at_the_offset():
    target = tiny_target()
    draw = torch.Generator().manual_seed(0)
    weight = 0.1 * torch.randn(len(OFFSETS), target.width, target.width, generator=draw)
    states = torch.randn(2 * GRID.cells, target.width, generator=draw)
    tokens = torch.randint(target.vocabulary, (2 * GRID.cells,), generator=draw)
    pictures = of(states, tokens)
    found = losses(target, weight, pictures, pictures.inner)
    for head, (down, right) in enumerate(OFFSETS.values()):
        row = []
        for start in (0, GRID.cells):
            for r in range(REACH, GRID.rows):
                for c in range(REACH, GRID.columns):
                    x = states[start + (r - down) * GRID.columns + c - right]
                    move = weight[head] @ x
                    p = (target.model.output.weight @ (x + move / (1 + (-move).exp()))).softmax(0)
                    row.append(-math.log(p[tokens[start + r * GRID.columns + c]]))
        assert found[head].tolist() == pytest.approx(row, abs=1e-4)
        mean = image_losses(target, weight, pictures)[:, head].tolist()
        assert mean == pytest.approx([np.mean(row[:2]), np.mean(row[2:])], abs=1e-4)


def test_pictures_hold_what_the_target_read(context):
    read = list(readings(context))
    found = ReadImages.of(GRID, [(r.hidden[0], r.tokens) for r in read])
    assert torch.equal(found.tokens, torch.cat([r.tokens for r in read]))
    assert torch.equal(found.states[GRID.cells :], read[1].hidden[0])
    assert found.inner.tolist() == [18, 19, 38, 39]


def repeated(count: int, seed: int) -> ReadImages:
    """Images whose cells repeat the one above."""
    target, draw = tiny_target(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        table = target.model.output.weight * 2
    rows = [torch.randint(target.vocabulary, (GRID.columns,), generator=draw).repeat(GRID.rows) for _ in range(count)]
    tokens = torch.cat(rows)
    return of(table[tokens] + 0.1 * torch.randn(len(tokens), target.width, generator=draw), tokens)


def test_heads_learn_where_their_offset_says_most():
    """Each cell repeats the one above it: the head that looks down learns this, the one that looks right does not."""
    target, left_out = tiny_target(), repeated(20, 1)
    weight = train(target, repeated(40, 0), left_out, 30, lambda name, tokens: None)
    mean = dict(zip(OFFSETS, image_losses(target, weight, left_out).mean(0).tolist(), strict=True))
    assert mean["down 1"] + 1 < min(mean["right 1"], mean["down 1 right 1"])


def test_heads_stop_where_they_are_best_on_what_they_do_not_learn_from():
    """Images to stop on whose tokens are all another: every step makes it worse, so no head leaves its start."""
    target, seen = tiny_target(), repeated(10, 0)
    other = of(seen.states, (seen.tokens + 1) % target.vocabulary)
    weight = train(target, seen, other, 20, lambda name, tokens: None)
    down = list(OFFSETS).index("down 1")
    assert not weight[down].any() and train(target, seen, seen, 20, lambda name, tokens: None)[down].any()


def test_prompts_are_split_and_enough_pictures_learnt_from():
    prompts = tuple(map(str, range(64)))
    judge, stop, learn = hawk_fig4.split(prompts)
    assert (len(judge), len(stop), len(set(learn)), len(learn)) == (16, 8, 40, 120)
    assert sorted([*judge, *stop, *set(learn)]) == sorted(prompts), "each has one task"
    assert all(hawk_fig4.split(prompts[:n])[2] for n in range(1, 9)) and hawk_fig4.split(("a",)) == (["a"],) * 3
    assert len(hawk_fig4.split(prompts[:24])[2]) >= hawk_fig4.LEARN


def test_heads_that_know_less_than_nothing_tell_nothing(context, monkeypatch):
    """Losses above ln V leave every claim about them undefined; ln V stands in the table."""
    few = replace(context, quick=True, request=context.request.with_prompts("abcd"))
    monkeypatch.setattr(hawk_fig4, "LEARN", 1)
    for loss, defined in ((4.0, 5), (4.3, 2)):
        worse = torch.full((1, len(OFFSETS)), 3.0)
        worse[0, list(OFFSETS).index("right 3")] = loss
        worse[0, list(OFFSETS).index("right 2")] = loss
        monkeypatch.setattr(hawk_fig4, "image_losses", lambda target, weight, pictures, w=worse: w)
        outcome = hawk_fig4.run(few)
        assert sum(claim.figure is not None for claim in outcome.claims) == defined
        assert outcome.tables[0].rows[-1] == {
            "head": hawk_fig4.EVEN, "loss": pytest.approx(math.log(64)), "paper_loss": None
        }  # fmt: skip


def test_divergence_is_kl():
    draw = torch.Generator().manual_seed(1)
    a, b = torch.rand(3, 6, generator=draw), torch.rand(3, 6, generator=draw)
    a[0, 2] = 0
    a, b = a / a.sum(-1, keepdim=True), b / b.sum(-1, keepdim=True)
    slow = [
        sum(x * math.log(x / y) for x, y in zip(p, q, strict=True) if x)
        for p, q in zip(a.tolist(), b.tolist(), strict=True)
    ]
    assert divergence(a, b).tolist() == pytest.approx(slow, abs=1e-6)
    assert divergence(a, a).tolist() == pytest.approx([0, 0, 0], abs=1e-9)


def test_rank_correlation_is_spearmans():
    draw = np.random.default_rng(3)
    a, b = draw.integers(5, size=40), draw.integers(4, size=40) + draw.random(40)
    assert rank_correlation(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    assert math.isnan(rank_correlation(np.zeros(5), np.arange(5)))


def test_rejection_against_every_sequence_of_candidates():
    """All sequences of three candidates, each with its chance of being drawn and its chance of being refused."""
    draw = torch.Generator().manual_seed(2)
    p, v, h = (torch.rand(4, generator=draw).double().pow(2) for _ in range(3))
    p, laws = p / p.sum(), [v / v.sum(), v / v.sum(), h / h.sum()]

    def refused(left: list[float], rest: list[list[float]]) -> float:
        if not rest:
            return 1.0
        q, total = rest[0], 0.0
        behind = [max(a - b, 0) for a, b in zip(left, q, strict=True)]
        norm = sum(behind)
        for x in range(len(q)):
            miss = 1 - min(1.0, left[x] / q[x])
            if miss:
                total += q[x] * miss * refused([b / norm for b in behind], rest[1:])
        return total

    found = rejected(p[None], [law[None] for law in laws], (1, 2, 3))
    for n in (1, 2, 3):
        assert float(found[n]) == pytest.approx(refused(p.tolist(), [law.tolist() for law in laws[:n]]), abs=1e-9)


def test_changes_tell_upright_from_level():
    upright = np.zeros((8, 10), dtype=np.uint8)
    upright[:, 5:] = 100
    across, down = changes(Image.fromarray(upright), Grid(4, 5))
    assert across.reshape(4, 5).tolist() == [[0, 0, 50, 0, 0]] * 4 and not down.any()
    across, down = changes(Image.fromarray(upright.T), Grid(5, 4))
    assert not across.any() and down.any()


def test_regression_finds_the_coefficients():
    draw = np.random.default_rng(0)
    samples = []
    for _ in range(12):
        x = np.column_stack((np.ones(40), draw.normal(size=(40, 2))))
        samples.append((x, x @ (0.3, 0.5, -0.2) + 0.1 * draw.normal(size=40)))
    found = regress(samples)
    whole = np.linalg.lstsq(
        np.concatenate([x for x, _ in samples]), np.concatenate([y for _, y in samples]), rcond=None
    )
    assert [f.value for f in found] == pytest.approx(whole[0].tolist())
    assert all(f.interval[0] < f.value < f.interval[1] < f.interval[0] + 0.1 for f in found)


def test_pipelines_of_other_drafts_share_the_target(context):
    other = context.with_drafts([])
    assert isinstance(other.pipeline, SpatialPipeline) and other.target is context.target and not other.pipeline.drafts
