"""Training task of drafters that are a set of heads: each predicts the state at its offset from the state at a cell.

h_t is the state that outputs cell t. Horizontal head k predicts cell t + k, vertical head k cell t + k * columns. The
loss is the sum over heads of lambda^k times the objective.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.core.sampling import Sampling
from spatialspec.drafts import objectives
from spatialspec.drafts.acceptance import RULES, Rule, by_rejection
from spatialspec.drafts.recipes import Recipe
from spatialspec.drafts.task import DraftTask
from spatialspec.drafts.teacher import streams

CHUNK = 8  # images of a batch in evaluations


@dataclass(frozen=True, kw_only=True)
class HeadsRecipe(Recipe):
    """Settings of heads.

    Attributes:
        horizontal, vertical: number of heads to the right and down.
        objective: one of objectives.NAMES.
        decay: lambda; head k has the weight lambda^k.
        drop: share of dropped captions, so that drafts also learn the unconditional stream.
    """

    horizontal: int = 2
    vertical: int = 2
    objective: str = "cross-entropy"
    decay: float = 1.0
    drop: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        objectives.check(self.objective)
        if not (0 <= self.horizontal <= 16 and 0 <= self.vertical <= 16 and self.horizontal + self.vertical):
            raise BadInput(f"{self.horizontal} and {self.vertical} heads", "0 to 16, not both 0")


@dataclass(frozen=True)
class HeadsBatch:
    """States and tokens of some images."""

    hidden: Float[Tensor, "B cells d"]
    codes: Int[Tensor, "B cells"]


class HeadsTask(DraftTask):
    """Base of the tasks of heads; see :class:`DraftTask`."""

    recipe: HeadsRecipe
    note: ClassVar[str] = (
        "accepted probability: mean of sum min(p, q) over held-out images, no guidance, temperature 1; guided: under "
        "the target's recommended sampling, by rejection (sum min(p, q)) and under coupled noise"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        down, grid = self.recipe.vertical, self.target.grid
        if max(self.recipe.horizontal, down * grid.columns) >= grid.cells:
            raise BadInput(f"{down} heads down for the grid {grid}", "fewer than its rows")

    def guess(
        self, drafts: Any, hidden: Float[Tensor, "*N d"], codes: Int[Tensor, "*N"], down: bool, index: int
    ) -> Float[Tensor, "*N d"]:
        """State that a head predicts at its offset from each cell, in fp32 like the heads.

        A task overrides this, or `guesses` where heads read more than the cell.
        """
        raise NotImplementedError

    def guesses(
        self, drafts: Any, hidden: Float[Tensor, "*B N d"], codes: Int[Tensor, "*B N"]
    ) -> Iterator[tuple[str, int, int, Float[Tensor, "*B M d"]]]:
        """Name, index and raster offset of every head, and its states from all cells but the last `offset`.

        Args:
            drafts: the heads.
            hidden: the target's states of whole images.
            codes: their tokens.
        """
        for name, down, index, offset in self.offsets():
            guess = self.guess(drafts, hidden[..., :-offset, :], codes[..., :-offset], down, index)
            yield name, index, offset, guess

    def logits(self, drafts: Any, guess: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Logits of a draft, from a guess in the target's type: a normed state, unless a task overrides this."""
        return self.target.output(guess)

    def true(self, drafts: Any, hidden: Float[Tensor, "*N d"], codes: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """Training target of a guess, from the target's state and token at that cell: the normed state, as above."""
        return self.target.norm(hidden)

    def offsets(self) -> Iterator[tuple[str, bool, int, int]]:
        """Name, direction (down or not), index and raster offset of every head."""
        for k in range(self.recipe.horizontal):
            yield f"right {k + 1}", False, k, k + 1
        for k in range(self.recipe.vertical):
            yield f"down {k + 1}", True, k, (k + 1) * self.target.grid.columns

    def batch(self, chosen: Int[Tensor, "B"], uniform: Float[Tensor, "B"]) -> HeadsBatch:
        """See :class:`DraftTask`."""
        hidden = self.features(chosen, uniform < self.recipe.drop)
        return HeadsBatch(hidden, self.corpus.image[chosen].long().to(hidden.device))

    def loss(self, drafts: Any, batch: HeadsBatch) -> Float[Tensor, ""]:
        """See :class:`DraftTask`."""
        total = batch.hidden.new_zeros((), dtype=torch.float32)
        for _, index, offset, guess in self.guesses(drafts, batch.hidden, batch.codes):
            hidden, codes = batch.hidden[:, offset:], batch.codes[:, offset:]
            logits, true = partial(self.logits, drafts), self.true(drafts, hidden, codes)
            total = total + self.recipe.decay ** (index + 1) * self.objective(guess, logits, true, hidden, codes)
        return total

    def evaluate(self, drafts: Any) -> dict[str, float]:
        """Mean probability that rejection accepts each head's draft, without guidance, at temperature 1."""
        return {name: mean for (name, _), mean in self._accepted(drafts, Sampling(), {"": by_rejection}).items()}

    def guided(self, drafts: Any) -> dict[str, float]:
        """Mean probability that each head's draft is accepted under the target's default sampling, by rule."""
        means = self._accepted(drafts, self.target.default, RULES)
        return {f"{name}, {rule}": mean for (name, rule), mean in means.items()}

    @torch.no_grad()
    def _accepted(self, drafts: Any, sampling: Sampling, rules: Mapping[str, Rule]) -> dict[tuple[str, str], float]:
        """Mean probability of acceptance, by name of the head and rule."""
        means = {(name, rule): 0.0 for name, *_ in self.offsets() for rule in rules}
        for start in range(0, len(self.held_out), CHUNK):
            part = self.held_out[start : start + CHUNK]
            hidden = streams(self.target, part.prompts, part.codes, sampling.streams)
            p = sampling.distribution(self.target_logits(hidden))
            codes = part.image.to(hidden.device).long().expand(len(hidden), -1, -1)
            for name, _, offset, guess in self.guesses(drafts, hidden, codes):
                q = sampling.distribution(self.logits(drafts, guess.to(hidden.dtype)))
                for rule, probability in rules.items():
                    mean = probability(p[:, offset:], q).mean().item()
                    means[name, rule] += mean * len(part) / len(self.held_out)
        return means

    def score(self, figures: Mapping[str, float]) -> float:
        """Mean over heads."""
        return sum(figures.values()) / len(figures)

    @property
    def summary(self) -> str:
        """See :class:`DraftTask`."""
        return f"{self.recipe.horizontal} heads to the right, {self.recipe.vertical} down, trained on {self.source}"
