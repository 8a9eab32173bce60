"""The frozen parts of a grid transformer that drafters share: all of `Head` but the code book."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.targets.grid_model import GridModel


class GridHead:
    """Base of targets around a transformer over a grid.

    Attributes:
        model: the transformer.
    """

    model: GridModel

    @property
    def width(self) -> int:
        """Model width d."""
        return self.model.config.width

    @property
    def vocabulary(self) -> int:
        """Number of image tokens V."""
        return self.model.config.codes

    def norm(self, hidden: Float[Tensor, "*N d"]) -> Float[Tensor, "*N d"]:
        """Final norm of pre-norm states."""
        return self.model.norm(hidden)

    def output(self, states: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Normed states -> logits of image tokens."""
        return self.model.output(states)

    def embed(self, tokens: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """Embedding of image tokens, without positions."""
        return self.model.code_embedding(tokens)
