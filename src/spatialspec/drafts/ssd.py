"""Lesson of SSD's predictors (docs/papers/ssd.md): SmoothL1 to pre-norm states, on pictures that the target drew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.drafts.heads import HeadsLesson, HeadsRecipe
from spatialspec.methods.predictors import SSDConfig, SSDPredictors


@dataclass(frozen=True, kw_only=True)
class SSDRecipe(HeadsRecipe):
    """Settings; see :class:`HeadsRecipe`. `horizontal` is k_h, `vertical` is k_v.

    Attributes:
        space: of what is read and predicted; see `methods/predictors.py`.
        token: whether the token's embedding is read too.
    """

    horizontal: int = 5
    vertical: int = 5
    steps: int = 200
    batch: int = 4
    objective: str = "features"
    space: str = "pre-norm"
    token: bool = True


class SSDLesson(HeadsLesson):
    """A predictor guesses the vector at its offset, from the vector and the token's embedding at a cell."""

    Recipe: ClassVar[type[HeadsRecipe]] = SSDRecipe
    own = True
    recipe: SSDRecipe

    def build(self) -> SSDPredictors:
        """Untrained predictors."""
        r = self.recipe
        return SSDPredictors(SSDConfig(self.target.width, r.horizontal, r.vertical, r.space, r.token))

    def guess(
        self, drafts: SSDPredictors, hidden: Float[Tensor, "*N d"], codes: Int[Tensor, "*N"], down: bool, index: int
    ) -> Float[Tensor, "*N d"]:
        """See :class:`HeadsLesson`."""
        predictor = (drafts.vertical if down else drafts.horizontal)[index]
        embedding = self.target.embed(codes)
        return predictor(drafts.place(self.target, hidden, embedding).float(), embedding.float())

    def logits(self, drafts: SSDPredictors, guess: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """See :class:`HeadsLesson`."""
        return drafts.logits(self.target, guess)

    def true(
        self, drafts: SSDPredictors, hidden: Float[Tensor, "*N d"], codes: Int[Tensor, "*N"]
    ) -> Float[Tensor, "*N d"]:
        """See :class:`HeadsLesson`."""
        return drafts.place(self.target, hidden, self.target.embed(codes))
