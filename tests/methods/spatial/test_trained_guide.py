"""The trained guide of `spatial`: AR's tokens whatever it says, and inputs that are what its page says they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from helpers.toys import ToyTarget, Trial
from spatialspec import BadInput
from spatialspec.audit.grid_toy import GridToy
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.decode import Image, decode
from spatialspec.methods.spatial.memory import places
from spatialspec.methods.spatial.trained_guide import GuideNetwork, TrainedGuide, guided

SAMPLING = Sampling(guidance=1.5)
METHODS = ["spatial:guide=trained", "spatial:budget=6:guide=trained:runs=3", "spatial:front=1:guide=trained:runs=2"]
LONG = "spatial:budget=12:front=0.5:guide=trained:runs=2"


def image(target: Any, method: str, seed: int) -> Image:
    return Trial(method, "coupled", SAMPLING, target).image(Noise(seed, target.grid.cells, target.vocabulary))


def drawn(target: Any, images: list[Image], keep: Any = lambda step: None) -> list[tuple[int, ...]]:
    empty = [""] * len(images)
    for step in decode(target.session(empty, empty, SAMPLING, target.grid.grids[-1]), images):
        keep(step)
    return [one.state.tokens for one in images]


def read(target: GridToy, tokens: tuple[int, ...]) -> Float[Tensor, "slots d"]:
    """Guided states that output cells 0 to len(tokens), from one pass over these tokens."""
    session = target.session([""], [""], SAMPLING, target.grid)
    scores = session.score([State(target.grid)], [Proposal.chain(0, list(tokens))])[0]
    return guided(target, SAMPLING, scores.hidden)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("grid", ["4x3", "2x1+2x2"])
def test_draws_ars_tokens(method: str, grid: str) -> None:
    target: Any = ToyTarget.random(grid, 4, 1) if "+" in grid else GridToy.random(grid, 4, 0)
    ar = drawn(target, [image(target, "ar", seed) for seed in range(5)])
    asked = [method, method, "spatial", method, f"{METHODS[0]}:budget=4"]
    assert drawn(target, [image(target, one, seed) for seed, one in enumerate(asked)]) == ar


def test_states_are_of_the_tokens_that_were_read() -> None:
    """Those kept for every slot of every pass, in the tree too, and those of the committed cells."""
    target = GridToy.random("6x6", 4, 0)
    one = image(target, LONG, 1)
    guide, kept = one.drafter.guide, list[tuple[Step, dict[int, dict[Any, Tensor]]]]()  # type: ignore[attr-defined]
    known: dict[int, Tensor] = {}

    def keep(step: Step) -> None:
        kept.append((step, {cell: dict(entries) for cell, entries in guide.states.items()}))
        known.update(guide.known)

    (tokens,) = drawn(target, [one], keep)
    whole = read(target, tokens)
    assert sorted(known) == list(range(36))
    for cell, state in known.items():
        torch.testing.assert_close(state, whole[cell], rtol=1e-4, atol=1e-4)
    compared = 0
    for step, entries in kept[1::2]:
        paths: list[tuple[int, ...]] = [step.before.tokens]
        for token, parent in zip(step.proposal.tokens, step.proposal.parents, strict=True):
            paths.append((*paths[parent + 1], token))
        after = dict[Any, list[tuple[int, ...]]]()  # tokens before a place: several paths end in the same ones
        for path, place in zip(paths, places(step.before, step.proposal), strict=True):
            after.setdefault(place, []).append(path)
        for (cell, key), ends in after.items():
            if cell in entries and cell < 36:
                difference = min(float((entries[cell][key] - read(target, path)[-1]).abs().max()) for path in ends)
                assert difference < 1e-4, (cell, key)
                compared += 1
    assert compared > 20


def test_the_network_reads_changed_tokens_and_ancestors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot attends to known cells and its ancestors. Its old token is the one that its state has read, and where the
    guess is corrected another stands there now."""
    target, honest, seen = GridToy.random("6x6", 4, 0), GuideNetwork.forward, list[Any]()
    correct = TrainedGuide.correct

    def forward(self: GuideNetwork, states: Tensor, new: Tensor, old: Tensor, rotation: Any, mask: Tensor) -> Tensor:
        seen.append((states[0], new[0], old[0], mask[0, 0]))
        return honest(self, states, new, old, rotation, mask)

    def watched(self: TrainedGuide, state: State, proposal: Proposal) -> None:
        count, before = len(seen), set(self.guesses)
        correct(self, state, proposal)
        if len(seen) > count:
            seen[-1] = (*seen[-1], self, state, proposal, set(self.guesses) - before)

    monkeypatch.setattr(GuideNetwork, "forward", forward)
    monkeypatch.setattr(TrainedGuide, "correct", watched)
    drawn(target, [image(target, LONG, 2)])
    changed = 0
    for states, new, old, mask, guide, state, proposal, corrected in seen:
        known = len(new) - len(proposal)
        assert known == min(state.frontier, guide.network.config.known)
        torch.testing.assert_close(new[:known], target.embed(torch.tensor(state.tokens[-known:])))
        torch.testing.assert_close(new[: known - 1], old[: known - 1])
        for node, parent in enumerate(proposal.parents):
            path, up = {known + node}, parent
            while up >= 0:
                path.add(known + up)
                up = proposal.parents[up]
            assert mask[known + node].nonzero().flatten().tolist() == [*range(known), *sorted(path)]
        for slot, place in enumerate(places(state, proposal), start=known - 1):
            if place in corrected:
                assert not torch.equal(new[slot], old[slot]) and states[slot].any()
                changed += 1
    assert changed > 30


def test_it_can_save_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With states that are right, from a pass over the tokens that stand there now, fewer passes are needed."""
    target = GridToy.random("6x6", 4, 0)
    plain = [image(target, "spatial:budget=12:front=0.5", seed) for seed in range(2)]
    helped = [image(target, LONG, seed) for seed in range(2)]
    correct = TrainedGuide.correct

    def oracle(self: TrainedGuide, state: State, proposal: Proposal) -> None:
        def forward(network: GuideNetwork, states: Tensor, new: Tensor, *rest: Any) -> Tensor:
            known, right = new.shape[1] - len(proposal), states.clone()
            paths: list[tuple[int, ...]] = [state.tokens]
            for token, parent in zip(proposal.tokens, proposal.parents, strict=True):
                paths.append((*paths[parent + 1], token))
            for slot, path in enumerate(paths, start=known - 1):
                if len(path) < 36:
                    right[0, slot] = read(target, path)[-1]
            return right

        with monkeypatch.context() as inner:
            inner.setattr(GuideNetwork, "forward", forward)
            correct(self, state, proposal)

    monkeypatch.setattr(TrainedGuide, "correct", oracle)
    assert drawn(target, helped) == drawn(target, plain)
    assert sum(one.state.passes for one in helped) < sum(one.state.passes for one in plain)


def test_without_draft_weights() -> None:
    target = GridToy.random("3x2", 4, 0)
    trial = Trial("spatial:guide=trained", "coupled", SAMPLING, target)
    trial.__dict__["drafts"] = []
    with pytest.raises(BadInput, match="got no guide draft weights"):
        trial.image(Noise(0, target.grid.cells, target.vocabulary))
