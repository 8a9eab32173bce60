"""Training for a target that draws a preview first: drafts learn on the image, whose states read the preview."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import GlmImageProcessor

from helpers.tiny_glm import tiny_glm
from spatialspec.decode import decode
from spatialspec.drafts.corpus import Corpus
from spatialspec.drafts.distil import self_distil
from spatialspec.drafts.hawk import HawkRecipe, HawkTask
from spatialspec.drafts.spatial_model import SpatialModelRecipe, SpatialModelTask
from spatialspec.drafts.ssd import SSDRecipe, SSDTask
from spatialspec.drafts.teacher import states
from spatialspec.drafts.training_data import TrainingData
from spatialspec.generation import assemble
from spatialspec.methods.ar import METHOD as AR
from spatialspec.request import Request
from spatialspec.targets.loading import load_target

PROMPTS = ["a red apple", "two cats"]
SIDE, PREVIEW = 3, 16


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for side in ("target_h", "target_w"):
        monkeypatch.setattr(GlmImageProcessor, side, SIDE * 32)


def test_states_are_those_of_ar_in_the_image(tmp_path: Path) -> None:
    target = load_target(tiny_glm(tmp_path / "glm"))
    request = Request(PROMPTS, [3, 4], target.default, target.grid)
    images, hidden = assemble(target, [], AR, request), [list[torch.Tensor](), list[torch.Tensor]()]
    for step in decode(request.session(target), images):
        hidden[step.image].append(step.scores.hidden[0, -1])
    codes = torch.tensor([image.state.tokens for image in images])
    assert codes.shape == (2, PREVIEW**2 + SIDE**2)
    found = states(target, PROMPTS, codes, torch.zeros(2, dtype=torch.bool))
    expected = torch.stack([torch.stack(each[PREVIEW**2 :]) for each in hidden])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    corpus = Corpus(PROMPTS, codes, before=PREVIEW**2)
    assert torch.equal(corpus[1:].image, codes[1:, PREVIEW**2 :])


@pytest.mark.parametrize(
    ("task", "recipe"),
    [
        (HawkTask, HawkRecipe(horizontal=1, vertical=1)),
        (SSDTask, SSDRecipe(horizontal=1, vertical=1)),
        (SpatialModelTask, SpatialModelRecipe(window=4, frontiers=2)),
    ],
)
def test_every_kind_of_drafts_learns(task: type, recipe: object, tmp_path: Path) -> None:
    target = load_target(tiny_glm(tmp_path / "glm"))
    data = TrainingData(target, None, PROMPTS * 2, None, tmp_path, None, False, lambda line: None)
    made = task.make(data, recipe)
    drafts = made.build()
    batch = made.batch(torch.tensor([0, 1]), torch.tensor([0.9, 0.9]))
    assert batch.codes.shape == (2, SIDE**2) and batch.hidden.shape[:2] == (2, SIDE**2)
    made.loss(drafts, batch).backward()
    assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in drafts.parameters())
    assert all(0 < value <= 1 for value in {**made.evaluate(drafts), **made.guided(drafts)}.values())
    drawn = self_distil(target, PROMPTS * 2, tmp_path / "pictures", report=lambda line: None)
    assert drawn.shape == (4, PREVIEW**2 + SIDE**2)
