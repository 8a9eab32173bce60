"""The shipped loop with drafters that always, never or sometimes agree; the schedule of SSD."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import pytest
import torch
from torch import Tensor

from helpers.toys import ToySession, ToyTarget, Trial, noise_of, run
from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Drafter
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.decode import Image
from spatialspec.methods.ar import AR
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.method import Method
from spatialspec.methods.predictors import SSDPredictors
from spatialspec.methods.registry import find, methods
from spatialspec.methods.rejection import Rejection
from spatialspec.methods.ssd import SSDOptions

SAMPLING = Sampling(guidance=2.0, temperature=0.9)


class Oracle(AR):
    """Knows AR's tokens, and errs at cells of its choice."""

    drafts_first_cell = True

    def __init__(self, truth: Sequence[int], depth: int, errs: Callable[[int], bool], vocabulary: int) -> None:
        self.guesses = [(token + errs(cell)) % vocabulary for cell, token in enumerate(truth)]
        self.depth = depth

    def propose(self, state: State) -> Proposal:
        return Proposal.chain(state.frontier, self.guesses[state.frontier : state.frontier + self.depth])


@pytest.mark.parametrize("depth", [1, 3, 7])
def test_always_never_and_sometimes_agreeing(depth: int) -> None:
    target = ToyTarget.random("5x4", 4, 1)
    cells, noise = target.grid.cells, noise_of(target)

    def image(drafter: Drafter) -> Image:
        return Image(State(target.grid), drafter, Coupled(noise), SAMPLING)

    (ar,) = run(target, [image(AR())])
    assert ar.state.passes == cells
    passes = {}
    for name, errs in (("always", lambda t: False), ("never", lambda t: True), ("sometimes", lambda t: t % 5 == 2)):
        (one,) = run(target, [image(Oracle(ar.state.tokens, depth, errs, 4))])
        assert one.state.tokens == ar.state.tokens, name
        passes[name] = one.state.passes
    assert passes["always"] == -(-cells // (depth + 1)), "depth + 1 tokens per pass"
    assert passes["never"] == cells, "exactly AR's passes"
    assert passes["always"] < passes["sometimes"] < passes["never"] or depth == 1


class Mirror(AR):
    """Drafts from the target's own law, as only a toy allows."""

    drafts_first_cell = True

    def __init__(self, target: ToyTarget, depth: int, verifier: Rejection) -> None:
        self.target, self.depth, self.verifier = target, depth, verifier

    def propose(self, state: State) -> Proposal:
        tokens: list[int] = []
        q: list[Tensor] = []
        session = ToySession(self.target, SAMPLING.streams)
        for cell in range(state.frontier, min(state.frontier + self.depth, state.layout.cells)):
            (scores,) = session.score([State(state.layout, (*state.tokens, *tokens))], [Proposal()])
            q.append(SAMPLING.distribution(scores.logits)[0])
            tokens += self.verifier.draw(q[-1][None], [0], [cell], state.passes).tolist()
        return Proposal.chain(state.frontier, tokens, torch.stack(q))


def test_rejection_keeps_every_draft_from_the_right_law() -> None:
    target = ToyTarget.random("4x4", 3, 2)
    verifier = Rejection(noise_of(target))
    (one,) = run(target, [Image(State(target.grid), Mirror(target, 3, verifier), verifier, SAMPLING)])
    assert one.state.passes == 4


METHODS = ("medusa", "hawk-vertical", "hawk", "hawk:horizontal_samples=2:vertical_samples=2:depth=3:horizontal=3")


@pytest.mark.parametrize("method", METHODS)
def test_greedy_is_one_image(method: str) -> None:
    target = ToyTarget.random("5x4", 4, 3)
    greedy = Sampling(guidance=2.0, temperature=0.0)
    noises = [noise_of(target, seed) for seed in range(3)]
    expected = Trial("ar", "coupled", greedy, target).tokens(noises[:1])
    for verifier in ("coupled", "rejection"):
        assert (Trial(method, verifier, greedy, target).tokens(noises) == expected).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("verifier", ["coupled", "rejection"])
def test_a_batch_is_its_images_alone(method: str, verifier: str) -> None:
    target = ToyTarget.random("5x4", 4, 4)
    trial = Trial(method, verifier, SAMPLING, target)
    noises = [noise_of(target, seed) for seed in range(6)]
    together = run(target, [trial.image(noise) for noise in noises])
    alone = [run(target, [trial.image(noise)])[0] for noise in noises]
    assert [image.state for image in together] == [image.state for image in alone]
    assert len({image.state.passes for image in together}) > 1, "progress is ragged"
    if verifier == "coupled":
        ar = Trial("ar", "coupled", SAMPLING, target).tokens(noises)
        assert [list(image.state.tokens) for image in together] == ar.tolist()


def test_methods_refuse_what_the_weights_lack() -> None:
    target = ToyTarget.random("3x2", 3, 1)
    context = DecodeContext(target, [target.drafts("hawk", 0, 2)], SAMPLING, target.grid, noise_of(target))
    with pytest.raises(ValueError, match="got horizontal=3, vertical=2, expected at most the 2 and 2 heads"):
        Method.parse("hawk:horizontal=3").make(context, "coupled")
    with pytest.raises(ValueError, match="got no ssd draft weights"):
        Method.parse("ssd").make(context, "coupled")


@cache
def ssd_target(grid: str) -> tuple[ToyTarget, SSDPredictors]:
    target = ToyTarget.random(grid, 3, 5, width=4)
    drafts = target.drafts("ssd", 0, count=5)
    assert isinstance(drafts, SSDPredictors)
    return target, drafts


def ssd_passes(grid: str, method: str, verifier: str = "coupled") -> int:
    target, drafts = ssd_target(grid)
    plain = Sampling()
    context = DecodeContext(target, [drafts], plain, target.grid, noise_of(target))
    (one,) = run(target, [Image(State(target.grid), *Method.parse(method).make(context, verifier), plain)])
    assert one.state.complete
    return one.state.passes


@pytest.mark.parametrize(("rounds", "passes"), [(0, 34), (1, 57), (2, 80)])
@pytest.mark.parametrize("verifier", ["coupled", "rejection"])
def test_ssd_passes_of_the_paper(rounds: int, passes: int, verifier: str) -> None:
    """Janus-Pro's grid, table 4 of the paper."""
    assert ssd_passes("24x24", f"ssd:rounds={rounds}:rows=1", verifier) == passes


LUMINA = [  # rows, rounds, inner -> passes; the paper's, less one for row 0 that has no newline token here
    (1, 5, 4, 304 - 1),
    (2, 5, 4, 281 - 1),
    (3, 5, 4, 273 - 1),
    (2, 5, 1, 212 - 1),
    (2, 9, 0, 285 - 1),
]


@pytest.mark.parametrize(("rows", "rounds", "inner", "passes"), LUMINA)
def test_ssd_passes_on_luminas_grid(rows: int, rounds: int, inner: int, passes: int) -> None:
    """Staged and joint schedules on 48 x 48."""
    assert ssd_passes("48x48", f"ssd:rounds={rounds}:rows={rows}:inner={inner}") == passes


SHAPES = [SSDOptions(rounds=0), SSDOptions(rounds=1), SSDOptions(rounds=3, horizontal=2), SSDOptions(rounds=2, inner=0)]


@pytest.mark.parametrize("grid", ["6x6", "7x4", "2x5", "1x6", "5x1"])
@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_ssd_passes_in_general(grid: str, rows: int, shape: SSDOptions) -> None:
    """1 + 2 ceil((columns - 1) / k_h) for row 0; r + 1 and (k - 1)(i + 1) for every group of k rows."""
    n, columns = map(int, grid.split("x"))
    groups = [min(rows, n - first) for first in range(1, n, rows)]
    expected = 1 + 2 * -(-(columns - 1) // shape.horizontal)
    expected += sum(shape.rounds + 1 + (k - 1) * (shape.later_rounds + 1) for k in groups)
    method = f"ssd:rounds={shape.rounds}:rows={rows}:inner={shape.inner}:horizontal={shape.horizontal}"
    assert ssd_passes(grid, method) == expected
    assert ssd_passes(grid, method + ":draft=argmax:q=draft", "rejection") == expected


@pytest.mark.parametrize("name", [name for name, method in methods().items() if method.has("budget")])
def test_a_budget_of_none_drafts_and_learns_nothing(name: str) -> None:
    """It is AR and costs no more: nothing is kept of a pass for drafts that are never made."""
    target = ToyTarget.random("3x2", 4, 1)
    drafts = [target.drafts(kind, 0) for kind in ("hawk", "spatial-model", "hydra", "eagle")]
    context = DecodeContext(target, drafts, SAMPLING, target.grid, noise_of(target))
    assert isinstance(Method.parse(f"{name}:budget=0").make(context, "coupled")[0], AR)
    assert not isinstance(find(name).make(context, "coupled")[0], AR)
