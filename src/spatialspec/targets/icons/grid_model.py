"""What a grid session and the head that drafters share ask of a transformer over a grid of image tokens."""

from __future__ import annotations

from typing import Protocol

from jaxtyping import Float
from torch import Tensor, nn

from spatialspec.core.rotary import Rotation
from spatialspec.targets.cache import Cache


class GridSizes(Protocol):
    """Sizes of the transformer."""

    @property
    def codes(self) -> int:
        """Image vocabulary V."""
        ...

    @property
    def width(self) -> int:
        """Model width d."""
        ...

    @property
    def layers(self) -> int:
        """Number of blocks."""
        ...

    @property
    def heads(self) -> int:
        """Attention heads."""
        ...


class GridModel(Protocol):
    """The sequence is `prefix | cell 0 | cell 1 ...`; the slot of cell t outputs cell t + 1, that before cell 0 cell 0.

    Attributes:
        prefix_cosine: the cosine by which slots of the prefix are rotated, with sine 0: 1 leaves them as they are, 0
            blanks their queries and keys.
    """

    prefix_cosine: float

    @property
    def config(self) -> GridSizes:
        """Sizes."""
        ...

    @property
    def code_embedding(self) -> nn.Embedding:
        """Embedding of image tokens."""
        ...

    @property
    def norm(self) -> nn.Module:
        """Final norm."""
        ...

    @property
    def output(self) -> nn.Linear:
        """Output layer."""
        ...

    def places(self, rows: int, columns: int) -> Float[Tensor, "slots d"]:
        """What the slot in front of each cell is told of its place, and one row for the slot of the last cell."""
        ...

    def rotations(self, rows: int, columns: int) -> tuple[Float[Tensor, "cells pairs"], Float[Tensor, "cells pairs"]]:
        """Cosines and sines for every cell."""
        ...

    def __call__(
        self,
        x: Float[Tensor, "B N d"],
        rotation: Rotation,
        mask: Float[Tensor, "B 1 N S"] | None = None,
        cache: Cache | None = None,
        states: list[Tensor] | None = None,
    ) -> Float[Tensor, "B N d"]:
        """Embedded slots -> pre-norm states; causal where no mask is given. `states` takes those after every block."""
        ...

    def head(self, hidden: Float[Tensor, "*B d"]) -> Float[Tensor, "*B V"]:
        """Pre-norm states -> logits."""
        ...
