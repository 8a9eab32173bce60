"""Buffers of a session, which a later one may use again: captured passes read and write where they were."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from spatialspec.targets.cache import Cache
from spatialspec.targets.draft_buffer import DraftBuffer
from spatialspec.targets.inbox import Inbox
from spatialspec.targets.noise_buffer import NoiseBuffer


@dataclass
class Workspace:
    """What passes read and write, beside the weights.

    Attributes:
        cache: keys and values.
        inbox: inputs.
        noise: coupled noise.
        drafts: tokens that the host has not read.
        tables: of `hold`, by name.
    """

    cache: Cache
    inbox: Inbox
    noise: NoiseBuffer
    drafts: DraftBuffer
    tables: dict[str, Tensor] = field(default_factory=dict)

    def clear(self) -> None:
        """Drop all sequences and images; their room stays."""
        self.cache.select(())
        self.noise.select(())

    def hold(self, name: str, values: Tensor) -> Tensor:
        """Values in the place where those of this name were before, or in a new one if they do not fit there."""
        table = self.tables.get(name)
        if table is None or len(table) < len(values) or _row(table) != _row(values):
            self.tables[name] = values
            return values
        with torch.inference_mode():
            table[: len(values)].copy_(values)
        return table[: len(values)]


def _row(table: Tensor) -> tuple[object, ...]:
    return table.shape[1:], table.dtype, table.device
