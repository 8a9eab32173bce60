"""Base of the networks of trained drafters: what stored weights, their training and their checks need of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from spatialspec.core.interfaces import Head


class DraftNetwork(nn.Module):
    """Weights of a drafter; the target's are not among them. A subclass is built from its configuration alone.

    Attributes:
        config_type: dataclass of the sizes, with default values. Only `width`, that of the target, has none.
        config: sizes of this network.
    """

    config_type: ClassVar[type[Any]]
    config: Any

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def check_file(self, path: Path) -> None:
        """Check weights after they were read from a file; names, shapes and types are right already.

        Raises:
            BadInput: their values are wrong.
        """

    def check_target(self, target: Head) -> None:
        """Check that a target of the right width has everything that the network reads.

        Raises:
            BadInput: it has not.
        """
