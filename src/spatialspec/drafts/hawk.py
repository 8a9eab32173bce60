"""Training task of Hawk's heads (section 3.1; docs/papers/hawk.md): Medusa-1's cross-entropy on real images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.drafts.heads import HeadsRecipe, HeadsTask
from spatialspec.methods.hawk import HawkConfig, HawkHeads


@dataclass(frozen=True, kw_only=True)
class HawkRecipe(HeadsRecipe):
    """Settings; see :class:`HeadsRecipe`. `horizontal` is n, `vertical` is VSD."""

    weight_decay: float = 0.1


class HawkTask(HeadsTask):
    """A head predicts the normed state at its offset, from the normed state at a cell."""

    kind: ClassVar[str] = "HawkLesson"
    recipe_type: ClassVar[type[HeadsRecipe]] = HawkRecipe

    def build(self) -> HawkHeads:
        """Heads that start as the identity: they predict the target's own next token."""
        return HawkHeads(HawkConfig(self.target.width, self.recipe.horizontal, self.recipe.vertical))

    def guess(
        self, drafts: HawkHeads, hidden: Float[Tensor, "*N d"], codes: Int[Tensor, "*N"], down: bool, index: int
    ) -> Float[Tensor, "*N d"]:
        """See :class:`HeadsTask`."""
        weight = (drafts.vertical if down else drafts.horizontal)[index : index + 1]
        return HawkHeads.apply_heads(weight, self.target.norm(hidden).float())[0]

    def logits(self, drafts: HawkHeads, guess: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """See :class:`HeadsTask`."""
        return self.target.output(guess)

    def true(self, drafts: HawkHeads, hidden: Float[Tensor, "*N d"], codes: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """See :class:`HeadsTask`."""
        return self.target.norm(hidden)
