"""Small trainings: a task without a target, and heads for the tiny target on a few pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from helpers.tiny import CODES, WORDS, tiny_target
from spatialspec.drafts.corpus import Corpus
from spatialspec.drafts.features import Features, Streamed
from spatialspec.drafts.heads import HeadsTask
from spatialspec.drafts.progress import TrainingProgress
from spatialspec.drafts.recipes import Recipe
from spatialspec.drafts.registry import kinds
from spatialspec.drafts.spatial_model import SpatialModelRecipe, SpatialModelTask
from spatialspec.drafts.trainer import Best, train
from spatialspec.targets.icons.target import IconsTarget


class Line:
    """Task: a linear map learns another one."""

    digest, summary, note = "line", "a line", ""

    def __init__(self, recipe: Recipe, examples: int = 20, spoil: Callable[[int], float] = lambda step: 1.0) -> None:
        made = torch.Generator().manual_seed(5)
        self.recipe, self.spoil, self.steps = recipe, spoil, 0
        self.x = torch.randn(examples, 6, generator=made)
        self.y = self.x @ torch.randn(6, 3, generator=made)
        self.scores: list[float] = []

    def __len__(self) -> int:
        return len(self.x)

    def build(self) -> nn.Module:
        return nn.Linear(6, 3)

    def batch(self, chosen: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        return self.x[chosen], self.y[chosen]

    def loss(self, drafts: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        self.steps += 1
        return (drafts(batch[0]) - batch[1]).square().mean() * self.spoil(self.steps)

    @torch.no_grad()
    def evaluate(self, drafts: nn.Module) -> dict[str, float]:
        return {"fit": -(drafts(self.x) - self.y).square().mean().item()}

    def score(self, figures: Mapping[str, float]) -> float:
        return self.scores.pop(0) if self.scores else figures["fit"]

    def figures(self, drafts: nn.Module, evaluated: Mapping[str, float]) -> dict[str, float]:
        return dict(evaluated)


def run(lesson: Any, state: Path, say: Callable[[str], None] = lambda line: None) -> tuple[dict[str, Tensor], Best]:
    """Train; returns the weights that come out and the best evaluation."""
    processes = Accelerator(cpu=True)
    drafts, best = train(lesson, state, processes, TrainingProgress(say))
    return {name: tensor.clone() for name, tensor in drafts.state_dict().items()}, best


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def corpus(pictures: int, seed: int = 1) -> Corpus:
    """Random tokens under a few captions."""
    made = torch.Generator().manual_seed(seed)
    codes = torch.randint(CODES, (pictures, 36), generator=made, dtype=torch.int32)
    return Corpus([WORDS[i % len(WORDS)] for i in range(pictures)], codes)


@cache
def common_target() -> IconsTarget:
    """The tiny target, made once."""
    return tiny_target()


def spatial(target: Any = None) -> SpatialModelTask:
    """Task of a small spatial draft model on six pictures."""
    target, pictures = target or common_target(), corpus(6)
    recipe = SpatialModelRecipe(steps=4, batch=4, warmup=1, window=9, frontiers=3, rows=1, columns=2)
    features = Streamed(target, pictures, SpatialModelTask.layers(target, recipe))
    return SpatialModelTask(target, pictures, corpus(2, seed=2), features, recipe)


def heads(
    drafter: str, features: Callable[[Any, Corpus], Features] = Streamed, target: Any = None, **settings: Any
) -> HeadsTask:
    """Task of heads on six pictures."""
    kind: Any = kinds()[drafter].task()
    target = target or common_target()
    sizes = {"horizontal": 1, "vertical": 1, "steps": 4, "batch": 4, "warmup": 1} | settings
    pictures = corpus(6)
    return kind(target, pictures, corpus(2, seed=2), features(target, pictures), kind.recipe_type(**sizes))
