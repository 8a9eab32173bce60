"""What a drafter brings to the trainer: a recipe with its settings, and a lesson with data and objective."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.drafts.limits import check_settings
from spatialspec.drafts.origin import Origin


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of every training; a drafter adds its own.

    Attributes:
        steps: optimiser steps.
        batch: examples per step, over all processes.
        peak_rate: AdamW learning rate after warm-up, decayed by cosine.
        floor: share of the peak that the rate decays to.
        warmup: steps of linear warm-up.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        evaluate_every: steps between two held-out evaluations; there is one before the first and one after the last.
        save_every: steps between two resume states.
        seed: of everything random.
    """

    steps: int = 300
    batch: int = 8
    peak_rate: float = 1e-3
    floor: float = 0.05
    warmup: int = 20
    weight_decay: float = 0.01
    clip: float = 1.0
    evaluate_every: int = 100
    save_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self, steps=1, batch=1, evaluate_every=1, save_every=1, warmup=0, seed=0)

    def draw(self, step: int, examples: int) -> tuple[Int[np.ndarray, "B"], Float[np.ndarray, "B"]]:
        """Examples of a step, and a uniform number for each that its lesson may use."""
        rng = np.random.default_rng((self.seed, step))
        return rng.integers(examples, size=self.batch), rng.random(self.batch)


@dataclass
class Best:
    """The best drafts so far by held-out figures, and the figures before the first step.

    Attributes:
        step: after which they were evaluated.
        score: of the lesson.
        figures: held-out.
        before: held-out, of the untrained drafts.
        weights: in full precision.
    """

    step: int = -1
    score: float = -math.inf
    figures: Mapping[str, float] | None = None
    before: Mapping[str, float] | None = None
    weights: Mapping[str, Tensor] | None = None

    def take(self, step: int, score: float, figures: Mapping[str, float], drafts: nn.Module) -> bool:
        """Keep these if they are the best trained ones, of equals the later; say whether they are."""
        if not step:
            self.before = figures
        if not step or score < self.score:
            return False
        self.step, self.score, self.figures = step, score, figures
        self.weights = {name: tensor.detach().cpu().clone() for name, tensor in drafts.state_dict().items()}
        return True

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        vars(self).update(state)


class Lesson(Protocol):
    """What a drafter brings to its training: data and objective."""

    @property
    def recipe(self) -> Any:
        """Settings, a :class:`Recipe`."""
        ...

    @property
    def digest(self) -> str:
        """Hash of all that the result depends on besides the recipe: the kind of drafts, the target, the data."""
        ...

    def __len__(self) -> int:
        """Number of examples."""
        ...

    def build(self) -> nn.Module:
        """Untrained drafts."""
        ...

    def batch(self, chosen: Int[Tensor, "B"], lots: Float[Tensor, "B"]) -> Any:
        """What `loss` needs for some examples, the frozen target's part of it done."""
        ...

    def loss(self, drafts: Any, batch: Any) -> Float[Tensor, ""]:
        """The objective, a mean over examples, so that the mean over processes is that of the global batch."""
        ...

    def evaluate(self, drafts: Any) -> dict[str, float]:
        """Held-out figures by name."""
        ...

    def score(self, figures: Mapping[str, float]) -> float:
        """What the best checkpoint has most of."""
        ...

    @property
    def summary(self) -> str:
        """One sentence for the card: what it is and what it learned from."""
        ...

    @property
    def data(self) -> Origin:
        """For the card: where its pictures come from."""
        ...

    @property
    def note(self) -> str:
        """What the figures on the card mean."""
        ...

    def figures(self, drafts: Any, best: Best) -> dict[str, float]:
        """Figures for the card."""
        ...
