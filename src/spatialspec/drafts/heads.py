"""Lesson of drafters that are a set of heads: each predicts the state at its own offset from the state at a cell.

h_t is the state that outputs cell t; head k to the right learns cell t + k, head k down learns cell t + k * columns.
The loss is the sum over heads of lambda^k times the objective.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.drafts.acceptance import by_coupling, by_rejection
from spatialspec.drafts.corpus_lesson import OBJECTIVES, CorpusLesson
from spatialspec.drafts.lesson import Best, Recipe
from spatialspec.drafts.teacher import states, streams

CHUNK = 8  # pictures that are evaluated at once


@dataclass(frozen=True, kw_only=True)
class HeadsRecipe(Recipe):
    """Settings of heads.

    Attributes:
        horizontal, vertical: number of heads to the right and down.
        objective: one of OBJECTIVES; see `objectives.py`.
        decay: lambda; head k counts lambda^k.
        drop: share of captions that are dropped, so that drafts serve both streams of guidance.
    """

    horizontal: int = 2
    vertical: int = 2
    objective: str = "cross-entropy"
    decay: float = 1.0
    drop: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective not in OBJECTIVES:
            raise BadInput(f"objective {self.objective!r}", f"one of {', '.join(OBJECTIVES)}")
        if not (0 <= self.horizontal <= 16 and 0 <= self.vertical <= 16 and self.horizontal + self.vertical):
            raise BadInput(f"{self.horizontal} and {self.vertical} heads", "0 to 16, not both 0")
        if not 0 <= self.drop <= 1:
            raise BadInput(f"drop {self.drop}", "a share from 0 to 1")


@dataclass(frozen=True)
class Batch:
    """States and tokens of some pictures."""

    hidden: Float[Tensor, "B cells d"]
    codes: Int[Tensor, "B cells"]


class HeadsLesson(CorpusLesson, ABC):
    """Base of such lessons; see :class:`CorpusLesson`."""

    recipe: HeadsRecipe
    Recipe: ClassVar[type[HeadsRecipe]]
    note: ClassVar[str] = (
        "accepted probability: mean of sum min(p, q) over held-out pictures, no guidance, temperature 1; guided: under "
        "the target's recommended sampling, by rejection (sum min(p, q)) and under coupled noise"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        down, grid = self.recipe.vertical, self.target.grid
        if max(self.recipe.horizontal, down * grid.columns) >= grid.cells:
            raise BadInput(f"{down} heads down for the grid {grid}", "fewer than its rows")

    @abstractmethod
    def build(self) -> nn.Module:
        """Untrained heads."""

    @abstractmethod
    def guess(
        self, drafts: Any, hidden: Float[Tensor, "*N d"], codes: Int[Tensor, "*N"], down: bool, index: int
    ) -> Float[Tensor, "*N d"]:
        """State that a head predicts at its offset from some cells, in fp32 like the heads."""

    @abstractmethod
    def logits(self, drafts: Any, guess: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Logits of a draft, from a guess in the target's type."""

    @abstractmethod
    def true(self, drafts: Any, hidden: Float[Tensor, "*N d"], codes: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """What a guess should have been, from the target's state there and the token."""

    def offsets(self) -> Iterator[tuple[str, bool, int, int]]:
        """Name, direction (down or not), index and raster offset of every head."""
        for k in range(self.recipe.horizontal):
            yield f"right {k + 1}", False, k, k + 1
        for k in range(self.recipe.vertical):
            yield f"down {k + 1}", True, k, (k + 1) * self.target.grid.columns

    def batch(self, chosen: Int[Tensor, "B"], lots: Float[Tensor, "B"]) -> Batch:
        """See :class:`Lesson`."""
        hidden = self.features(chosen, lots < self.recipe.drop)
        return Batch(hidden, self.corpus.codes[chosen].long().to(hidden.device))

    def loss(self, drafts: Any, batch: Batch) -> Float[Tensor, ""]:
        """See :class:`Lesson`."""
        total = batch.hidden.new_zeros((), dtype=torch.float32)
        for _, down, index, offset in self.offsets():
            guess = self.guess(drafts, batch.hidden[:, :-offset], batch.codes[:, :-offset], down, index)
            weight = self.recipe.decay ** (index + 1)
            hidden, codes = batch.hidden[:, offset:], batch.codes[:, offset:]
            logits, true = partial(self.logits, drafts), self.true(drafts, hidden, codes)
            total = total + weight * self.objective(guess, logits, true, hidden, codes)
        return total

    @torch.no_grad()
    def evaluate(self, drafts: Any) -> dict[str, float]:
        """Mean probability that rejection accepts each head's draft, without guidance, at temperature 1."""
        figures = {name: 0.0 for name, *_ in self.offsets()}
        for start in range(0, len(self.held_out), CHUNK):
            words, codes = self.held_out.prompts[start : start + CHUNK], self.held_out.codes[start : start + CHUNK]
            hidden = states(self.target, words, codes, torch.zeros(len(words), dtype=torch.bool))
            p, tokens = self.target_logits(hidden).softmax(-1), codes.to(hidden.device).long()
            for name, down, index, offset in self.offsets():
                guess = self.guess(drafts, hidden[:, :-offset], tokens[:, :-offset], down, index)
                q = self.logits(drafts, guess.to(hidden.dtype)).float().softmax(-1)
                figures[name] += by_rejection(p[:, offset:], q).mean().item() * len(words) / len(self.held_out)
        return figures

    def score(self, figures: Mapping[str, float]) -> float:
        """Mean over heads."""
        return sum(figures.values()) / len(figures)

    @property
    def summary(self) -> str:
        """One sentence for the card."""
        return f"{self.recipe.horizontal} heads to the right, {self.recipe.vertical} down, trained on {self.source}"

    def figures(self, drafts: Any, best: Best) -> dict[str, float]:
        """Accepted probabilities for the card."""
        assert best.figures is not None
        own = {f"accepted probability, {name}": value for name, value in best.figures.items()}
        return own | {f"guided, {name}": value for name, value in self._guided(drafts).items()}

    @torch.no_grad()
    def _guided(self, drafts: Any) -> dict[str, float]:
        """Mean probability that each head's draft stays under the target's default sampling, by rule."""
        sampling = self.target.default
        figures = {f"{name}, {rule}": 0.0 for name, *_ in self.offsets() for rule in ("rejection", "coupled")}
        for start in range(0, len(self.held_out), CHUNK):
            words, codes = self.held_out.prompts[start : start + CHUNK], self.held_out.codes[start : start + CHUNK]
            hidden = streams(self.target, words, codes)
            p = sampling.distribution(self.target_logits(hidden))
            tokens = codes.to(hidden.device).long().expand(len(hidden), -1, -1)
            for name, down, index, offset in self.offsets():
                guess = self.guess(drafts, hidden[:, :, :-offset], tokens[..., :-offset], down, index)
                q = sampling.distribution(self.logits(drafts, guess.to(hidden.dtype)))
                for rule, measure in (("rejection", by_rejection), ("coupled", by_coupling)):
                    value = measure(p[:, offset:], q).mean().item()
                    figures[f"{name}, {rule}"] += value * len(words) / len(self.held_out)
        return figures
