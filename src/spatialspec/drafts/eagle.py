"""Training task of EAGLE's layer (docs/papers/eagle.md): KL to the target's distribution, on images of the target.

The layer learns every step that it is used for. Step k reads the states that step k - 1 drafted, as in decoding (HASS,
Zhang et al., 2024, arXiv 2408.15766; EAGLE-3's training-time test), and the tokens of the image:

    h^0_t = the target's state,  z^k_t = W [h^k_t; e(c_t)],  h^{k+1}_{t+1} = layer(z^k_t)

z^k_t attends to z^0_s, s <= t - k, to z^r_{t-k+r}, 0 < r < k, and to itself: the committed cells and its ancestors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.drafts.heads import HeadsRecipe, HeadsTask
from spatialspec.methods.eagle import EagleConfig, EagleNetwork


@dataclass(frozen=True, kw_only=True)
class EagleRecipe(HeadsRecipe):
    """Settings; see :class:`HeadsRecipe`.

    Attributes:
        horizontal: steps of the layer that are trained.
        vertical: 0.
        expansion: of the layer.
    """

    horizontal: int = 3
    vertical: int = 0
    objective: str = "kl"
    expansion: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vertical:
            raise BadInput(f"vertical {self.vertical} for eagle", "0", "Hawk's vertical heads are trained as hawk")


class EagleTask(HeadsTask):
    """Step k of the layer predicts the normed state k cells on."""

    recipe_type: ClassVar[type[HeadsRecipe]] = EagleRecipe
    drawn = True
    recipe: EagleRecipe

    def build(self) -> EagleNetwork:
        """A layer that starts as the identity."""
        return EagleNetwork(EagleConfig(self.target.width, expansion=self.recipe.expansion))

    def guesses(
        self, drafts: EagleNetwork, hidden: Float[Tensor, "*B N d"], codes: Int[Tensor, "*B N"]
    ) -> Iterator[tuple[str, int, int, Float[Tensor, "*B M d"]]]:
        """See :class:`HeadsTask`."""
        shape, cells = hidden.shape, torch.arange(hidden.shape[-2], device=hidden.device)
        states = self.target.norm(hidden).float().flatten(0, -3)
        embedding = self.target.embed(codes).float().flatten(0, -3)
        rotation = drafts.config.layer.rotation(cells, self.target.grid.columns)
        known: list[Float[Tensor, "2 B H N D"]] = []
        for name, _, step, offset in self.offsets():
            z = drafts.read(states, embedding)
            known.append(drafts.layer.keys_values(z, rotation))
            mask = attended(step, len(cells), hidden.device)[None, None]
            drafted = drafts.layer.attend(z, rotation, torch.cat(known, dim=-2), mask)
            yield name, step, offset, drafted[:, step:-1].unflatten(0, shape[:-2])
            states = drafted.roll(1, dims=1)  # the first `step` + 1 cells have none, and no later one attends to them


def attended(step: int, cells: int, device: torch.device) -> Bool[Tensor, "N seen"]:
    """Attention mask of a step: over the cells of every step before it, then over its own; see the top of this file."""
    index = torch.arange(cells, device=device)
    back = index[:, None] - index
    masks = [back == step - earlier for earlier in range(step + 1)]
    masks[0] = back >= step
    return torch.cat(masks, dim=1)
