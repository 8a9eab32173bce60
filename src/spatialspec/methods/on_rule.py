"""What verifiers share that work on the exact rule that was asked for: they draw as it draws, and decide otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from jaxtyping import Float
from torch import Tensor

from spatialspec.core.setting import NoSettings, Setting
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.rejection import Rejection


class OnRule:
    """Base of verifiers on a rule; a subclass says what stays.

    Args:
        rule: draws candidates, and has the noise of the image.
    """

    Settings: type[Any] = NoSettings

    @classmethod
    def make(cls, setting: Setting, settings: Any, rule: str) -> Self:
        """The verifier of one image."""
        return cls((Coupled if rule == "coupled" else Rejection)(setting.noise))

    def __init__(self, rule: Coupled | Rejection) -> None:
        self.rule = rule

    def draw(self, q: Float[Tensor, "Q V"], rows: Sequence[int], cells: Sequence[int], turn: int) -> list[int]:
        """As the rule draws."""
        return self.rule.draw(q, rows, cells, turn)
