"""Preallocated keys and values with tentative writes: score a tree, then keep one path of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


class KVCache:
    """Keys and values of every layer, one row per image and guidance stream.

    A pass writes its N slots behind what each row has committed; `keep` then commits some of them. Slots that were not
    kept are simply overwritten by the next pass. Where a pass needs more slots than there are, all rows get them: wide
    drafts for one image beside another that is nearly done.

    Attributes:
        lengths: committed slots of each row.
    """

    def __init__(self, layers: int, rows: int, heads: int, capacity: int, head_width: int, like: Tensor) -> None:
        # zeros, not empty: a masked slot has weight 0, and 0 times what memory happens to hold may be NaN
        self.store = like.new_zeros(layers, 2, rows, heads, capacity, head_width)
        self.lengths = [0] * rows
        self._start: int | Tensor = 0
        self._seen = 0

    @property
    def capacity(self) -> int:
        """Slots of a row."""
        return self.store.shape[4]

    @property
    def even(self) -> bool:
        """Whether every row has committed the same number of slots."""
        return min(self.lengths) == max(self.lengths)

    def begin(self, width: int) -> int:
        """Announce a pass of `width` slots; return the number of slots that it can see, S = longest row + width."""
        longest = max(self.lengths)
        if (missing := longest + width - self.capacity) > 0:
            self.store = F.pad(self.store, (0, 0, 0, missing))
        if self.even:
            self._start = longest
        else:
            starts = torch.tensor(self.lengths, device=self.store.device)
            self._start = starts[:, None] + torch.arange(width, device=self.store.device)
        self._seen = longest + width
        return self._seen

    def write(
        self, layer: int, keys: Float[Tensor, "B H N D"], values: Float[Tensor, "B H N D"]
    ) -> tuple[Float[Tensor, "B H S D"], Float[Tensor, "B H S D"]]:
        """Write one layer's slots tentatively and return views of all that is visible."""
        k, v = self.store[layer]
        n = keys.shape[2]
        if isinstance(self._start, int):
            k[:, :, self._start : self._start + n] = keys
            v[:, :, self._start : self._start + n] = values
        else:
            rows = torch.arange(len(self.lengths), device=k.device)[:, None]
            k[rows, :, self._start] = keys.transpose(1, 2)
            v[rows, :, self._start] = values.transpose(1, 2)
        return k[:, :, : self._seen], v[:, :, : self._seen]

    def keep(self, rows: slice, slots: Sequence[int]) -> None:
        """Commit the given slots of the last pass (0 = its first), in this order, for rows that are equally long."""
        start, stop = self.lengths[rows.start], self.lengths[rows.start] + len(slots)
        if list(slots) != list(range(len(slots))):
            store = self.store[:, :, rows]
            store[..., start:stop, :] = store[..., [start + slot for slot in slots], :]
        self.lengths[rows] = [stop] * (rows.stop - rows.start)

    def select(self, rows: Sequence[int]) -> None:
        """Keep only the given rows."""
        self.lengths = [self.lengths[row] for row in rows]
        if rows:
            self.store = self.store[:, :, list(rows)]
