"""Keys and values of a decoder of transformers, written tentatively: score a tree, then keep one path of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformers import Cache


class LanguageCache(Cache):
    """One row per image and guidance stream; every layer's tensors are made where the layer is, when it first writes.

    A pass writes its N slots behind what each row has committed; `keep` then commits some of them. Slots that were not
    kept are simply overwritten by the next pass. A layer sees as many slots as the longest row has, or, where the
    cache is `fixed`, all of them, so that its shapes never change. Where a pass needs more slots than there are, all
    rows get them (wide drafts for one image beside another that is nearly done); a compiled decoder compiles again.

    Args:
        rows: of the batch.
        capacity: slots of a row, at first.
        fixed: whether shapes must never change, as a compiled decoder needs.
    """

    def __init__(self, rows: int, capacity: int, fixed: bool) -> None:
        super().__init__(layers=[])
        self.capacity, self.fixed = capacity, fixed
        self.lengths = [0] * rows  # committed slots of each row
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._start: int | None = None  # where every row writes, if that is one place
        self._where: Int[Tensor, "B N"] | None = None  # otherwise where each row writes
        self._seen = 0

    def begin(self, width: int, device: torch.device) -> int:
        """Announce a pass of `width` slots; return the number of slots that it can see, S."""
        longest = max(self.lengths)
        if (missing := longest + width - self.capacity) > 0:
            self.capacity += missing
            self._keys, self._values = (
                [F.pad(part, (0, 0, 0, missing)) for part in store] for store in (self._keys, self._values)
            )
        self._start = longest if not self.fixed and min(self.lengths) == longest else None
        if self._start is None:
            starts = torch.tensor(self.lengths, device=device)
            self._where = starts[:, None] + torch.arange(width, device=device)
        self._seen = self.capacity if self.fixed else longest + width
        return self._seen

    def update(
        self,
        key_states: Float[Tensor, "B H N D"],
        value_states: Float[Tensor, "B H N D"],
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Float[Tensor, "B H S D"], Float[Tensor, "B H S D"]]:
        """Write one layer's slots tentatively and return all that is visible; called by the decoder."""
        if layer_idx == len(self._keys):
            # zeros, not empty: a masked slot has weight 0, and 0 times what memory happens to hold may be NaN
            for store, states in ((self._keys, key_states), (self._values, value_states)):
                store.append(states.new_zeros(*states.shape[:2], self.capacity, states.shape[3]))
        keys, values = self._keys[layer_idx], self._values[layer_idx]
        if self._start is not None:
            end = self._start + key_states.shape[2]
            keys[:, :, self._start : end] = key_states
            values[:, :, self._start : end] = value_states
        else:
            assert self._where is not None
            where = self._where.to(keys.device)[:, None, :, None]
            keys.scatter_(2, where.expand_as(key_states), key_states)
            values.scatter_(2, where.expand_as(value_states), value_states)
        if self.fixed:
            return keys, values
        return keys[:, :, : self._seen], values[:, :, : self._seen]

    def keep(self, rows: Sequence[int], slots: Sequence[int]) -> None:
        """Commit the given slots of the last pass (0 = its first), in this order, for rows of equal length."""
        first, last = rows[0], rows[-1] + 1
        start = self.lengths[first]
        if list(slots) != list(range(len(slots))):
            chosen = torch.tensor([start + slot for slot in slots])
            for store in (*self._keys, *self._values):
                part = store[first:last]
                part[:, :, start : start + len(slots)] = part.index_select(2, chosen.to(store.device))
        self.lengths[first:last] = [start + len(slots)] * (last - first)

    def select(self, rows: Sequence[int]) -> None:
        """Keep only the given rows."""
        self.lengths = [self.lengths[row] for row in rows]
        if rows:
            self._keys = [keys[list(rows)] for keys in self._keys]
            self._values = [values[list(rows)] for values in self._values]
