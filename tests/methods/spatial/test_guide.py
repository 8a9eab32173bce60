"""A guide of `spatial`: AR's tokens whatever it says, a cache in step with every branch, fewer passes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from helpers.toys import ToyTarget, Trial
from spatialspec import BadInput
from spatialspec.audit.grid_toy import GridToy
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.step import Scores, Step, Verdict
from spatialspec.decode import Image, decode, one_pass
from spatialspec.methods.draft_model import DraftTarget, Follower, corrected
from spatialspec.methods.spatial.guide import SiblingGuide

SAMPLING = Sampling(guidance=1.5)
METHODS = [
    "spatial:guide=sibling",
    "spatial:budget=6:guide=sibling:runs=3",
    "spatial:budget=9:front=1:guide=sibling:runs=2",
]
Patch = pytest.MonkeyPatch


def image(target: Any, method: str, seed: int, small: Any = None) -> Image:
    trial = Trial(method, "coupled", SAMPLING, target)
    trial.__dict__["drafts"] = [] if small is None else [DraftTarget(small, target)]
    return trial.image(Noise(seed, target.grid.cells, target.vocabulary))


def drawn(target: Any, images: list[Image]) -> list[tuple[int, ...]]:
    empty = [""] * len(images)
    for _ in decode(target.session(empty, empty, SAMPLING, target.grid.grids[-1]), images):
        pass
    return [one.state.tokens for one in images]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("grid", ["4x3", "2x1+2x2"])
def test_draws_ars_tokens(method: str, grid: str) -> None:
    target: Any = ToyTarget.random(grid, 4, 1) if "+" in grid else GridToy.random(grid, 4, 0)
    small = target.sibling(1)
    ar = drawn(target, [image(target, "ar", seed) for seed in range(5)])
    assert drawn(target, [image(target, method, seed, small) for seed in range(5)]) == ar


def test_images_join_and_leave() -> None:
    """With and without a guide, with different numbers of runs; each draws what it draws alone."""
    target = GridToy.random("4x4", 4, 0)
    small, guided = target.sibling(1), "guide=sibling:runs"
    asked = [f"spatial:{guided}=1", "spatial", f"spatial:budget=5:{guided}=3", f"spatial:budget=4:{guided}=2"]
    alone = [image(target, method, seed, small) for seed, method in enumerate(asked)]
    for one in alone:
        drawn(target, [one])
    together = [image(target, method, seed, small) for seed, method in enumerate(asked)]
    session = target.session([""] * 2, [""] * 2, SAMPLING, target.grid.grids[-1])
    images = {0: together[0], 1: together[1]}
    for number in range(200):
        if number in (2, 4):
            late = number // 2 + 1
            session.admit(target.session([""], [""], SAMPLING, target.grid.grids[-1]))
            images[late] = together[late]
        for _ in one_pass(session, images):
            pass
        session.drop([index for index, one in enumerate(images.values()) if one.state.complete])
        images = {i: one for i, one in images.items() if not one.state.complete}
        if not images and number > 4:
            break
    for one, other in zip(together, alone, strict=True):
        assert one.state == other.state
        cost, expected = one.drafter.cost, other.drafter.cost
        assert (cost and (cost.passes, cost.slots)) == (expected and (expected.passes, expected.slots))


def farthest(patch: Patch) -> tuple[float, int]:
    """Largest difference of q' from p', with the target as its own guide; passes that it saves."""
    target, honest, found = GridToy.random("6x6", 4, 0), SiblingGuide.correct, [0.0]

    def correct(self: SiblingGuide, *args: Any) -> None:
        honest(self, *args)
        kept = [one for entries in self.stale.values() for one in entries.values()]
        found.extend(float((one.p - one.q).abs().max()) for one in kept)

    with patch.context() as inner:
        inner.setattr(SiblingGuide, "correct", correct)
        guided = [image(target, "spatial:budget=12:front=0.5:guide=sibling:runs=2", seed, target) for seed in range(3)]
        tokens = drawn(target, guided)
    plain = [image(target, "spatial:budget=12:front=0.5", seed) for seed in range(3)]
    assert tokens == drawn(target, plain), "whatever the guesses"
    assert all(one.drafter.cost is not None and one.drafter.cost.passes == 2 * (one.state.passes - 1) for one in guided)
    assert len(found) > 100
    return max(found), sum(one.state.passes for one in plain) - sum(one.state.passes for one in guided)


def test_it_follows_every_branch(monkeypatch: Patch) -> None:
    """q' of a slot is that of the tokens which the target read, in the tree too."""
    distance, saved = farthest(monkeypatch)
    assert distance < 1e-5 and saved > 0


@pytest.mark.parametrize("plant", ["another slot", "a guess is committed"])
def test_a_guide_out_of_step_is_seen(plant: str, monkeypatch: Patch) -> None:
    honest = Follower.read

    def read(self: Follower, tree: Proposal, scores: Scores) -> Step:
        if plant == "another slot":
            self._slots = self._slots[0], self._slots[1][::-1]
        step = honest(self, tree, scores)
        path = step.verdict.path
        children = [node for node, parent in enumerate(tree.parents) if path and parent == path[-1]]
        if plant == "a guess is committed" and children and len(path) == 3:
            return Step.of(0, step.before, tree, scores, Verdict((*path, children[0])))
        return step

    monkeypatch.setattr(Follower, "read", read)
    assert farthest(monkeypatch)[0] > 1e-3


def test_a_correction_is_what_the_change_changes() -> None:
    """With w = 1, nothing else: q where the target found what the draft model did; p' where q' is q; zeros remain."""
    p, q, earlier = (torch.rand(5, 6, generator=torch.Generator().manual_seed(seed)) + 0.05 for seed in range(3))
    p, q, earlier = (part / part.sum(-1, keepdim=True) for part in (p, q, earlier))
    one = torch.ones(5)
    torch.testing.assert_close(corrected(earlier, q, earlier, one), q)
    torch.testing.assert_close(corrected(p, q, q, one), p)
    torch.testing.assert_close(corrected(p, q, earlier, 0 * one), p)
    expected = (p.log() + (q.log() - earlier.log()) / 2).softmax(-1)
    torch.testing.assert_close(corrected(p, q, earlier, one / 2), expected)
    assert not corrected(torch.eye(6)[:5], q, earlier, one).diagonal(offset=1).any()


def test_without_a_draft_model() -> None:
    with pytest.raises(BadInput, match="got no draft model, expected a smaller model"):
        image(ToyTarget.random("3x2", 4, 1), "spatial:guide=sibling", 0)
