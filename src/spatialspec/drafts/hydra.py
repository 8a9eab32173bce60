"""Training task of Hydra's heads (docs/papers/hydra.md): KL to the target's distribution, on images of the target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.drafts.heads import HeadsRecipe, HeadsTask
from spatialspec.methods.hydra import HydraConfig, HydraHeads


@dataclass(frozen=True, kw_only=True)
class HydraRecipe(HeadsRecipe):
    """Settings; see :class:`HeadsRecipe`. `vertical` heads read the token to the left of the cell that they draft."""

    horizontal: int = 3
    vertical: int = 0
    objective: str = "kl"


class HydraTask(HeadsTask):
    """A head predicts the normed state at its offset, from the one at a cell and the tokens in between."""

    recipe_type: ClassVar[type[HeadsRecipe]] = HydraRecipe
    drawn = True

    def build(self) -> HydraHeads:
        """Heads that start as the identity."""
        return HydraHeads(HydraConfig(self.target.width, self.recipe.horizontal, self.recipe.vertical))

    def guesses(
        self, drafts: HydraHeads, hidden: Float[Tensor, "*B N d"], codes: Int[Tensor, "*B N"]
    ) -> Iterator[tuple[str, int, int, Float[Tensor, "*B M d"]]]:
        """See :class:`HeadsTask`: head k reads the cell's token and the k - 1 behind it, a vertical one the last."""
        states, embedding = self.target.norm(hidden).float(), self.target.embed(codes).float()
        for name, down, index, offset in self.offsets():
            read = range(offset - 1 if down else 0, offset)
            seen = torch.stack([embedding[..., j : codes.shape[-1] - offset + j, :] for j in read], dim=-2)
            yield name, index, offset, drafts(down, index, states[..., :-offset, :], seen)
