"""Training task of SSD's predictors (docs/papers/ssd.md): SmoothL1 to pre-norm states, on images of the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.drafts.heads import HeadsRecipe, HeadsTask
from spatialspec.methods.predictors import SSDConfig, SSDPredictors


@dataclass(frozen=True, kw_only=True)
class SSDRecipe(HeadsRecipe):
    """Settings; see :class:`HeadsRecipe`. `horizontal` is k_h, `vertical` is k_v.

    Attributes:
        space: of inputs and predictions; see `methods/predictors.py`.
        token: whether the token's embedding is an input too.
    """

    horizontal: int = 5
    vertical: int = 5
    steps: int = 200
    batch: int = 4
    objective: str = "features"
    space: str = "pre-norm"
    token: bool = True


class SSDTask(HeadsTask):
    """A predictor predicts the vector at its offset, from the vector and the token's embedding at a cell."""

    kind: ClassVar[str] = "SSDLesson"
    recipe_type: ClassVar[type[HeadsRecipe]] = SSDRecipe
    drawn = True
    recipe: SSDRecipe

    def build(self) -> SSDPredictors:
        """Untrained predictors."""
        r = self.recipe
        return SSDPredictors(SSDConfig(self.target.width, r.horizontal, r.vertical, r.space, r.token))

    def guess(
        self, drafts: SSDPredictors, hidden: Float[Tensor, "*N d"], codes: Int[Tensor, "*N"], down: bool, index: int
    ) -> Float[Tensor, "*N d"]:
        """See :class:`HeadsTask`."""
        predictor = (drafts.vertical if down else drafts.horizontal)[index]
        embedding = self.target.embed(codes)
        return predictor(drafts.to_space(self.target, hidden, embedding).float(), embedding.float())

    def logits(self, drafts: SSDPredictors, guess: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """See :class:`HeadsTask`."""
        return drafts.logits(self.target, guess)

    def true(
        self, drafts: SSDPredictors, hidden: Float[Tensor, "*N d"], codes: Int[Tensor, "*N"]
    ) -> Float[Tensor, "*N d"]:
        """See :class:`HeadsTask`."""
        return drafts.to_space(self.target, hidden, self.target.embed(codes))
