"""A sibling as the drafter: exact under both rules, its cache in step, its passes shared and counted.

Chi-square tests have the level 1e-6 / (number of them) / CAUTION: a false alarm anywhere in this file has odds below
1e-6. Seeds are fixed, hence so is every outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.toys import CachedSampling, NoiseTable, TableNoise, ToySession, ToyTarget, Trial, codes
from spatialspec import BadInput
from spatialspec.audit.chi_square import CAUTION, Fit, fit
from spatialspec.audit.grid_toy import GridToy
from spatialspec.core.noise import Noise, Purpose
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict
from spatialspec.decode import decode
from spatialspec.methods.draft_model import DraftTarget, Follower
from spatialspec.methods.rejection import Rejection
from spatialspec.methods.sibling import Sibling

PLAIN, GUIDED = Sampling(), Sampling(guidance=1.5, top_k=3)
LAWS = [  # method, sampling, grid, vocabulary, cached
    ("sibling:length=4:runs=1", PLAIN, "3x2", 4, False),
    ("sibling:length=4:runs=3", GUIDED, "2x3", 4, False),
    ("sibling:length=3:runs=2", PLAIN, "2x1+2x2", 4, False),
    ("sibling:runs=2", GUIDED, "2x3", 3, True),
]
LEVEL = 1e-6 / (len(LAWS) + 2) / CAUTION
REPLICAS = 600
Patch = pytest.MonkeyPatch


@cache
def table(vocabulary: int) -> NoiseTable:
    return NoiseTable(REPLICAS, 6, vocabulary)


def toy(grid: str, vocabulary: int, cached: bool) -> Any:
    return GridToy.random(grid, vocabulary, 0) if cached else ToyTarget.random(grid, vocabulary, 1, deviation=0.4)


def law(method: str, sampling: Sampling, target: Any, count: int = REPLICAS) -> Fit:
    """Images under rejection against their distribution."""
    noises = [TableNoise(seed, table(target.vocabulary)) for seed in range(count)]
    images = Trial(method, "rejection", CachedSampling(**asdict(sampling)), target).tokens(noises)
    joint = target.joint(sampling)
    return fit(np.bincount(codes(images, target.vocabulary), minlength=len(joint)), joint)


@pytest.mark.law
@pytest.mark.parametrize(("method", "sampling", "grid", "vocabulary", "cached"), LAWS)
def test_exact_under_both_rules(method: str, sampling: Sampling, grid: str, vocabulary: int, cached: bool) -> None:
    target = toy(grid, vocabulary, cached)
    assert law(method, sampling, target, 300 if cached else REPLICAS).p > LEVEL
    noises = [TableNoise(seed, table(vocabulary)) for seed in range(60)]
    same, ar = (Trial(name, "coupled", sampling, target).tokens(noises) for name in (method, "ar"))
    assert (same == ar).all()


@pytest.mark.law
def test_another_q_is_seen(monkeypatch: Patch) -> None:
    """Every draft is tested with the distribution of the cell before."""
    honest = Sibling.propose

    def propose(self: Sibling, state: State) -> Proposal:
        self.r = self.r.roll(1, 0)
        return honest(self, state)

    monkeypatch.setattr(Sibling, "propose", propose)
    assert law("sibling:length=4:runs=1", PLAIN, toy("3x2", 4, False)).p < LEVEL


@pytest.mark.law
def test_noise_that_was_looked_at_is_seen(monkeypatch: Patch) -> None:
    """The drafts' noise decides about acceptance too."""

    def uniform(
        self: Rejection, cells: Sequence[int], numbers: Sequence[int], after: Sequence[int], pass_index: int
    ) -> Tensor:
        looked_at = self.noise.uniform(Purpose.DRAFT, 0, cells, [0] * len(cells))
        return torch.cat((looked_at, self.noise.uniform(Purpose.RESIDUAL, pass_index, after, [0] * len(after))))

    monkeypatch.setattr(Rejection, "_uniform", uniform)
    assert law("sibling:length=4:runs=1", PLAIN, toy("3x2", 4, False)).p < LEVEL


# The draft model's cache


def drawn(target: Any, method: str, small: Any = None) -> tuple[list[tuple[int, ...]], list[Step]]:
    """Tokens and passes of three images, with this draft model."""
    trial = Trial(method, "coupled", PLAIN, target)
    trial.__dict__["drafts"] = [] if small is None else [DraftTarget(small, target)]
    images = [trial.image(Noise(seed, target.grid.cells, target.vocabulary)) for seed in range(3)]
    session = target.session([""] * 3, [""] * 3, PLAIN, target.grid.grids[-1])
    passes = list(decode(session, images))
    return [image.state.tokens for image in images], passes


def farthest(patch: Patch) -> float:
    """Largest difference of the draft model's q from p, where it read what was accepted; here it is the target."""
    target, honest, found = GridToy.random("6x6", 4, 0), Sibling.observe, [0.0]

    def observe(self: Sibling, step: Step) -> None:
        cells = len(step.verdict.path)
        found.append(float((self.follower.q[:cells] - step.p[:cells]).abs().max()) if cells else 0.0)
        honest(self, step)

    patch.setattr(Sibling, "observe", observe)
    tokens, _ = drawn(target, "sibling:length=6:runs=5", target)
    assert tokens == drawn(target, "ar")[0], "whatever the guesses"
    return max(found)


def test_the_target_as_its_own_sibling(monkeypatch: Patch) -> None:
    """Five runs make five right guesses from the target's own distributions."""
    assert farthest(monkeypatch) < 1e-5
    target = GridToy.random("6x6", 4, 0)
    assert len(drawn(target, "sibling:length=6:runs=5", target)[1]) == 3 * 6, "six cells a pass"


@pytest.mark.parametrize("change", [1, -1], ids=["a guess is committed", "a committed token is not"])
def test_a_cache_out_of_step_is_seen(change: int, monkeypatch: Patch) -> None:
    honest = Follower.read

    def read(self: Follower, proposal: Proposal, scores: Scores) -> Step:
        step = honest(self, proposal, scores)
        count = len(step.verdict.path)
        return Step.of(0, step.before, proposal, scores, Verdict(tuple(range(count + change if count > 1 else count))))

    monkeypatch.setattr(Follower, "read", read)
    assert farthest(monkeypatch) > 1e-3


def test_passes_are_counted_and_shared(monkeypatch: Patch) -> None:
    """One call of the draft model's session for all images, whose numbers of runs differ."""
    target, calls, honest = toy("3x5", 4, False), Counter[int](), ToySession.score

    def score(self: ToySession, states: Sequence[State], *rest: Any) -> list[Scores]:
        if self.target is not target:
            calls[len(states)] += 1
        return honest(self, states, *rest)

    monkeypatch.setattr(ToySession, "score", score)
    trials = [Trial(f"sibling:length=5:runs={runs}", "coupled", PLAIN, target) for runs in (1, 3)]
    images = [trial.image(Noise(seed, 15, 4)) for seed, trial in enumerate(trials)]
    for _ in decode(target.session([], [], PLAIN, target.grid.grids[-1]), images):
        pass
    costs = [image.drafter.cost for image in images]
    assert [cost.passes for cost in costs] == [
        image.state.passes * runs for image, runs in zip(images, (1, 3), strict=True)
    ]
    assert calls[2] == 3 * min(image.state.passes for image in images)
    assert sum(calls.values()) == calls[2] + calls[1] and all(cost.slots > cost.passes for cost in costs)
    alone = Trial("sibling:length=5:runs=3", "coupled", PLAIN, target).image(Noise(1, 15, 4))
    for _ in decode(target.session([], [], PLAIN, target.grid.grids[-1]), [alone]):
        pass
    assert alone.state == images[1].state and alone.drafter.cost.slots == costs[1].slots


def test_refused() -> None:
    """What cannot draft is refused before anything is computed."""
    target = ToyTarget.random("3x2", 4, 1)
    for trial_drafts, message in (([], "got no draft model, expected a smaller model"),):
        trial = Trial("sibling", "coupled", PLAIN, target)
        trial.__dict__["drafts"] = trial_drafts
        with pytest.raises(BadInput, match=message):
            trial.image(Noise(0, 6, 4))
