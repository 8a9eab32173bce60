"""Training the guide of `spatial`: what passes read is recorded as it was, and only changes are learned."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.lessons import common_target
from helpers.tiny import write_pictures
from spatialspec.drafts.guide import GuideRecipe, GuideTask
from spatialspec.drafts.image_folder import load
from spatialspec.drafts.passes import LENGTH, NONE, record
from spatialspec.drafts.teacher import streams
from spatialspec.drafts.training_data import TrainingData
from spatialspec.generation import generate
from spatialspec.methods.ar import METHOD as AR
from spatialspec.methods.spatial.trained_guide import guided
from spatialspec.request import Request

PROMPTS = ["a red apple", "a dog", "a blue car", "a green frog", "two cherries"]
SMALL: dict[str, Any] = {"steps": 4, "batch": 3, "windows": 5, "layers": 1}


def quiet(line: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> GuideTask:
    work = tmp_path_factory.mktemp("work")
    data = TrainingData(common_target(), None, PROMPTS, 3, work, None, False, quiet)
    return GuideTask.make(data, GuideRecipe(**SMALL))


def test_the_images_are_those_of_ar(task: GuideTask) -> None:
    target = task.target
    drawn, _ = generate(target, [], AR, Request(PROMPTS[:4], range(4), target.default, target.grid))
    assert task.passes.tokens[:4].tolist() == [list(tokens) for tokens in drawn]
    assert len(task.corpus) == 3 and len(task.held_out) == 1


def test_recorded_states_are_the_targets(task: GuideTask) -> None:
    """Of the final tokens those of one pass over them; of a window, of its own guesses."""
    target, passes = task.target, task.passes
    hidden = streams(target, PROMPTS[:4], passes.tokens)
    torch.testing.assert_close(passes.states.float(), guided(target, target.default, hidden), rtol=1e-2, atol=1e-2)
    same = changed = 0
    for image, frontiers in enumerate(passes.frontiers.tolist()):
        for window, frontier in enumerate(frontiers):
            tokens, read = passes.tokens[image].clone(), passes.read[image, window]
            length = int((read != NONE).sum())
            tokens[frontier : frontier + length] = read[:length]
            states = guided(target, target.default, streams(target, [PROMPTS[image]], tokens[None]))[0]
            last = min(frontier + length + 1, len(tokens))
            found = passes.found[image, window, : last - frontier].float()
            torch.testing.assert_close(found, states[frontier:last], rtol=1e-2, atol=1e-2)
            equal = int((tokens == passes.tokens[image]).long().cumprod(0).sum())
            same += equal - frontier
            changed += frontier + length - equal
    assert same > 10 and changed > 10


def test_only_changes_are_learned(task: GuideTask) -> None:
    """Weights are on slots behind a change; with the final tokens' own states there is nothing to learn."""
    images, numbers = torch.arange(3).repeat_interleave(5), torch.arange(5).repeat(3)
    batch, drafts = task.windows(images, numbers), task.build()
    before = (batch.new != batch.old).long().cumsum(1) == 0
    assert not batch.weight[before].any() and (batch.weight > 0).sum() > 20
    assert task.loss(drafts, batch).item() > 0.1
    there = before & batch.states.any(-1)
    there[:, -1] = False  # behind the last cell
    torch.testing.assert_close(batch.states[there], batch.true[there], rtol=1e-2, atol=1e-2)
    right = replace(batch, states=batch.true)
    assert task.loss(drafts, right).item() < 1e-3
    equal = batch.equal[batch.weight > 0]
    assert (equal == 0).any() and (equal > 0).any()
    assert bool(((batch.new != batch.old) == (batch.equal == 0))[batch.weight > 0].all())


def test_a_slot_reads_the_past_alone(task: GuideTask) -> None:
    """What stands in later slots changes no corrected state, and known cells do."""
    images, numbers = torch.arange(3), torch.full((3,), 2)
    batch, drafts = task.windows(images, numbers), task.build()
    torch.manual_seed(0)
    for weight in drafts.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    middle, start = batch.new.shape[1] - LENGTH + 3, batch.new.shape[1] - LENGTH - 1
    for first, same in ((middle + 1, True), (start, False)):
        new = batch.new.clone()
        new[:, first:] = (new[:, first:] + 1) % task.target.vocabulary
        other = task.corrected(drafts, replace(batch, new=new))
        close = torch.allclose(other[:, : middle + 1], task.corrected(drafts, batch)[:, : middle + 1], atol=1e-5)
        assert close is same


def test_tokens_come_first(task: GuideTask) -> None:
    """The first share of the steps has no states, the others have; every window is drawn."""
    recipe, seen = task.recipe, set[int]()
    recipe = replace(recipe, steps=100, alone=0.25)
    kinds = []
    for step in range(100):
        _, uniform = recipe.draw(step, 3)
        kinds.append(bool((uniform < 0.25).all()))
        assert kinds[-1] or (uniform >= 0.25).all()
    assert kinds == [True] * 25 + [False] * 75
    batch = task.alone(torch.rand(8))
    assert not batch.states.any() and batch.weight.any() and not len(batch.true)
    rows, slots = batch.weight.nonzero(as_tuple=True)
    following = {tuple(pair) for tokens in task.images.tolist() for pair in pairwise(tokens)}
    for row, slot in zip(rows.tolist(), slots.tolist(), strict=True):
        seen.add(slot)
        assert (int(batch.new[row, slot]), int(batch.after[row, slot])) in following
    assert len(seen) > 10


def test_real_images_for_the_first_steps(tmp_path: Path) -> None:
    """With a folder of images, their tokens come first; the passes are over images that the target draws."""
    target = common_target()
    write_pictures(tmp_path / "data")
    images = load(tmp_path / "data", target.grid.rows * target.patch)
    data = TrainingData(target, images, None, 3, tmp_path, None, False, quiet)
    made = GuideTask.make(data, GuideRecipe(**SMALL))
    train = images.select("train")
    assert torch.equal(made.images, target.codes(torch.from_numpy(train.pixels)).int()) and len(made.images) == 3
    assert len(made.corpus) == 3 and made.source.startswith("3 images that the target drew itself")
    assert made.source.endswith("after the tokens of 3 real images")
    assert any("drew itself" in line for line in made.data.lines) and any("3 " in line for line in made.data.lines)
    assert not torch.equal(made.corpus.image[:3], made.images)


def test_it_learns(task: GuideTask) -> None:
    """A few steps on one batch lower the objective, with states and without."""
    torch.manual_seed(0)
    images, numbers = torch.arange(3), torch.full((3,), 1)
    for batch in (task.windows(images, numbers), task.alone(torch.rand(3))):
        drafts = task.build()
        optimiser = torch.optim.Adam(drafts.parameters(), lr=3e-3)
        losses = []
        for _ in range(12):
            loss = task.loss(drafts, batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < 0.7 * losses[0]


def test_finished_pieces_are_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, prompts = common_target(), PROMPTS[:2]
    first = record(target, prompts, 3, tmp_path, report=quiet)
    monkeypatch.setattr("spatialspec.drafts.passes.generate", None)
    again = record(target, prompts, 3, tmp_path, report=quiet)
    for name, tensor in vars(first).items():
        assert torch.equal(tensor, getattr(again, name)), name
