"""The baselines of SSD: 1D-MTP (`mtp`) and strict verification (`ssd-strict`), by their pages in docs/papers.

Chi-square tests are at a level of 1e-6 / (their number) / CAUTION, for the reason in `audit/chi_square.py`: a false
alarm anywhere in this file has odds below 2e-6. Seeds are fixed, hence so is every outcome.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, reduce

import pytest
import torch
from torch import Tensor

from helpers.sessions import CODES, Target, session_of
from helpers.toys import CachedSampling, ToySession, ToyTarget, check_law
from spatialspec.audit.chi_square import CAUTION
from spatialspec.core.context import DecodeContext
from spatialspec.core.grid import Grid
from spatialspec.core.noise import Noise
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.decode import Image, decode
from spatialspec.methods.method import Method
from spatialspec.methods.predictors import SSDConfig, SSDPredictors

PLAIN, COOL, GUIDED = CachedSampling(), CachedSampling(temperature=0.7), CachedSampling(guidance=2.0)
ODD = ("1x1", "1x7", "6x1", "2x5", "7x4", "6x6")
RULES = ("coupled", "rejection")


@cache
def toy(grid: str, vocabulary: int = 3) -> tuple[ToyTarget, SSDPredictors]:
    target = ToyTarget.random(grid, vocabulary, 5, width=4)
    drafts = target.drafts("ssd", 0, 5)
    assert isinstance(drafts, SSDPredictors)
    return target, drafts


def run(
    method: str, rule: str, target: ToyTarget, drafts: SSDPredictors, s: Sampling, written: tuple[int, ...] = ()
) -> list[tuple[State, Step]]:
    """Every pass of an image, with the state before it."""
    context = DecodeContext(target, [drafts], s, target.grid, Noise(0, target.grid.cells, target.vocabulary))
    image = Image(State(target.grid), *Method.parse(method).make(context, rule), s, written)
    steps, before = [], image.state
    for step in decode(ToySession(target, s.streams), [image]):
        assert step.after.tokens[: before.frontier] == before.tokens
        steps.append((before, step))
        before = step.after
    assert before.complete and before.passes == len(steps)
    return steps


def q_of(
    target: ToyTarget, drafts: SSDPredictors, s: Sampling, state: State, at: int, ahead: int, down: bool
) -> Tensor:
    """Law of a cell by the predictor `ahead` cells or rows before it, which looked at the written cell `at`."""
    hidden = target.hidden[: s.streams, reduce(target.child, state.tokens[:at], 0)]
    predictor = (drafts.vertical if down else drafts.horizontal)[ahead - 1]
    return s.distribution(target.output(predictor(hidden, target.table[state.tokens[at]])))


@pytest.mark.parametrize("rule", RULES)
def test_mtp_passes_of_the_paper(rule: str) -> None:
    """Janus-Pro's grid."""
    assert len(run("mtp", rule, *toy("24x24"), PLAIN)) == 231


@pytest.mark.parametrize("grid", ODD)
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_mtp_blocks(grid: str, k: int, rounds: int) -> None:
    """1 + (r + 1) ceil((cells - 1) / k_h) passes; r rounds over min(k_h, cells left) drafts, then one that commits."""
    target, drafts = toy(grid)
    cells = target.grid.cells
    for rule in RULES:
        first, *others = run(f"mtp:horizontal={k}:rounds={rounds}", rule, target, drafts, GUIDED)
        assert len(first[1].proposal) == 0 and first[1].after.frontier == 1
        assert 1 + len(others) == 1 + (rounds + 1) * -(-(cells - 1) // k)
        for i, (state, step) in enumerate(others):
            proposal, pass_index = step.proposal, i % (rounds + 1)
            n = min(k, cells - state.frontier)
            assert proposal.cells == list(range(state.frontier, state.frontier + n))
            assert proposal.parents == list(range(-1, n - 1)) and proposal.final == (pass_index == rounds)
            assert step.after.frontier == state.frontier + n * (pass_index == rounds)
            if pass_index:
                assert tuple(proposal.tokens) == others[i - 1][1].verdict.refined[:n]  # type: ignore[index]
            elif rounds:
                q = [q_of(target, drafts, GUIDED, state, state.frontier - 1, j + 1, False) for j in range(n)]
                torch.testing.assert_close(proposal.q, torch.stack(q))


@pytest.mark.parametrize("grid", ODD)
@pytest.mark.parametrize("k", [1, 3, 5])
def test_strict_drafts(grid: str, k: int) -> None:
    """Horizontal drafts in row 0, afresh in every pass; below, the rest of the row from above, kept until tested."""
    target, drafts = toy(grid)
    columns, cells, kept = target.grid.columns, target.grid.cells, 0
    for rule in RULES:
        waiting: list[int] = []
        for state, step in run(f"ssd-strict:horizontal={k}", rule, target, drafts, GUIDED):
            proposal, verdict, x = step.proposal, step.verdict, state.frontier % columns
            n = 0 if not state.frontier else columns - x if state.frontier >= columns else min(k, columns - x)
            assert proposal.cells == list(range(state.frontier, state.frontier + n))
            if n:
                where = [
                    (state.frontier + j - columns, 1, True) if state.frontier >= columns
                    else (state.frontier - 1, j + 1, False)
                    for j in range(n)
                ]  # fmt: skip
                laws = [q_of(target, drafts, GUIDED, state, *place) for place in where]
                torch.testing.assert_close(proposal.q, torch.stack(laws))
            assert proposal.tokens[: len(waiting)] == waiting
            assert (verdict.token is None) == (state.frontier + len(verdict.path) == cells)
            written = len(verdict.tokens(proposal))
            waiting = proposal.tokens[written:] if state.frontier >= columns else []
            kept += len(waiting)
    assert kept or columns == 1 or cells == columns


@pytest.mark.parametrize("grid", [*ODD, "24x24"])
@pytest.mark.parametrize("k", [2, 5])
def test_strict_best_and_worst(grid: str, k: int) -> None:
    """1 + ceil((C - 1) / (k_h + 1)) + R - 1 passes if every draft is right, R C if every one is wrong.

    In a single column the token behind the last draft is a row of its own, so two rows are written at once.
    """
    target, _ = toy(grid)
    rows, columns = target.grid.rows, target.grid.columns
    blind = SSDPredictors(SSDConfig(4, 5, 5)).requires_grad_(False)
    for weight in blind.parameters():
        weight.zero_()  # logits of zeros: the greedy draft is token 0
    best = 1 + -(-(columns - 1) // (k + 1)) + rows - 1 if columns > 1 else 1 + rows // 2
    for token, passes in ((0, best), (1, rows * columns)):
        logits = torch.zeros_like(target.logits)
        logits[..., token] = 1.0
        for rule in RULES:
            steps = run(
                f"ssd-strict:horizontal={k}", rule, replace(target, logits=logits), blind, Sampling(temperature=0)
            )
            assert len(steps) == passes


EXACT = [  # method, sampling, grid, vocabulary, deviation of the toy
    ("ssd-strict:horizontal=2", PLAIN, "3x2", 4, 0.2),
    ("ssd-strict:horizontal=1", GUIDED, "2x3", 3, 0.7),
    ("mtp:horizontal=1", COOL, "2x3", 3, 0.7),
    ("mtp:horizontal=2:rounds=2", PLAIN, "3x2", 4, 0.2),
]
LEVEL = 1e-6 / len(EXACT) / CAUTION


@pytest.mark.law
@pytest.mark.parametrize(("method", "sampling", "grid", "vocabulary", "deviation"), EXACT)
def test_law(method: str, sampling: Sampling, grid: str, vocabulary: int, deviation: float) -> None:
    """The target's law under rejection, AR's very tokens under coupled noise."""
    check_law(method, sampling, grid, vocabulary, deviation, LEVEL, turns=16)


@pytest.mark.parametrize("grid", ["4x4", "3x5"])
@pytest.mark.parametrize("rule", RULES)
def test_a_batch_is_its_images_alone(grid: str, rule: str) -> None:
    """Through caches; under coupled noise strict images are AR's."""
    shape, sampling = Grid.parse(grid), Sampling(guidance=2.0, temperature=0.8)
    torch.manual_seed(4)
    drafts = SSDPredictors(SSDConfig(32, 3, 1)).requires_grad_(False)

    def states(methods: dict[int, str]) -> list[State]:
        images = []
        for row, method in methods.items():
            context = DecodeContext(Target(), [drafts], sampling, shape, Noise(row, shape.cells, CODES))  # type: ignore
            images.append(Image(State(shape), *Method.parse(method).make(context, rule), sampling))
        for _ in decode(session_of(grid, list(methods)), images):
            pass
        return [image.state for image in images]

    methods = {0: "ssd-strict:horizontal=3", 1: "mtp:horizontal=3", 2: "ssd-strict:horizontal=2"}
    together = states(methods)
    assert together == [states({row: method})[0] for row, method in methods.items()]
    assert len({state.passes for state in together}) > 1
    if rule == "coupled":
        ar = states(dict.fromkeys(methods, "ar"))
        assert [together[row].tokens == ar[row].tokens for row in (0, 2)] == [True, True]


@pytest.mark.parametrize("method", ["ssd", "ssd:rows=2:rounds=1", "mtp", "ssd-strict"])
@pytest.mark.parametrize("rule", RULES)
def test_saved_tokens_are_gone_on_from(method: str, rule: str) -> None:
    """Wherever in a row they end, the last one too."""
    target, drafts = toy("4x5")
    whole = run(method, rule, target, drafts, GUIDED)[-1][1].after.tokens
    for length in (1, 4, 5, 8, 17, 19):
        last = run(method, rule, target, drafts, GUIDED, whole[:length])[-1][1].after
        assert last.tokens[:length] == whole[:length]
        assert last.tokens == whole or not (method == "ssd-strict" and rule == "coupled")


def test_too_few_predictors() -> None:
    target, _ = toy("2x5")
    few = target.drafts("ssd", 0, 2)
    context = DecodeContext(target, [few], PLAIN, target.grid, Noise(0, 10, 3))
    for method in ("mtp", "ssd-strict"):
        with pytest.raises(ValueError, match=r"got horizontal=5, .* expected at most the 2 and 2 predictors"):
            Method.parse(method).make(context, "coupled")
        with pytest.raises(ValueError, match="got no ssd draft weights"):
            Method.parse(method).make(replace(context, drafts=[]), "coupled")
