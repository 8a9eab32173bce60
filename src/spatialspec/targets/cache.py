"""KV cache with tentative writes: a pass scores a tree, then one path of it is committed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


class Cache:
    """One sequence per image and guidance stream; layers on one device share a tensor, allocated at the first write.

    A pass writes N slots behind the committed slots of each sequence; some of them are then committed. The next pass
    moves these together, before it overwrites the others. If a pass needs more slots than `capacity`, all sequences
    are enlarged; otherwise a pass allocates nothing.

    Args:
        devices: of every layer.
        capacity: initial slots of a sequence.
        slot_bytes: of the keys and values of one slot in one layer.

    Attributes:
        lengths: committed slots of each sequence.
    """

    def __init__(self, devices: Sequence[torch.device], capacity: int, slot_bytes: int = 0) -> None:
        self.capacity, self._slot_bytes = capacity, slot_bytes
        self.lengths: list[int] = []
        self._indices = [(device, list(devices[:layer]).count(device)) for layer, device in enumerate(devices)]
        self._counts = {device: list(devices).count(device) for device in devices}
        self._stores: dict[torch.device, Float[Tensor, "L 2 rows H S D"]] = {}
        self._positions: Int[Tensor, "rows S"] | None = None  # of the slots in their sequences
        self._start: int | None = None  # first slot to write, if it is fixed and the same for every sequence
        self._slots: Int[Tensor, "B N"] = torch.empty(0, dtype=torch.long)  # otherwise the slots to write
        self._visible = 0

    @property
    def even(self) -> bool:
        """Whether every sequence has committed the same number of slots."""
        return min(self.lengths) == max(self.lengths)

    def sequence_bytes(self) -> dict[torch.device, int]:
        """Bytes of one sequence on every device."""
        return {device: layers * self.capacity * self._slot_bytes for device, layers in self._counts.items()}

    def places(self) -> tuple[int, ...]:
        """Where keys, values and positions lie in memory."""
        tables = [] if self._positions is None else [self._positions]
        return tuple(part.data_ptr() for part in (*self._stores.values(), *tables))

    def add(self, sequences: int) -> None:
        """Add empty sequences behind the others, where others were dropped if there is room."""
        self.lengths += [0] * sequences
        for device, store in self._stores.items():
            if (missing := len(self.lengths) - store.shape[2]) > 0:
                self._stores[device] = F.pad(store, (0, 0, 0, 0, 0, 0, 0, missing))
        if self._positions is not None and (missing := len(self.lengths) - len(self._positions)) > 0:
            self._positions = F.pad(self._positions, (0, 0, 0, missing))

    @torch.inference_mode()
    def select(self, sequences: Sequence[int]) -> None:
        """Drop all sequences but these, in ascending order; they move together in place."""
        self.lengths = [self.lengths[sequence] for sequence in sequences]
        for to, sequence in enumerate(sequences):
            if to != sequence:
                for store in self._stores.values():
                    store[:, :, to] = store[:, :, sequence]
                if self._positions is not None:
                    self._positions[to] = self._positions[sequence]

    def room(self, width: int) -> int:
        """Make room for a pass of `width` slots; return the number of committed slots of the longest sequence."""
        longest = max(self.lengths)
        if (missing := longest + width - self.capacity) > 0:
            self.capacity += missing
            self._stores = {device: F.pad(store, (0, 0, 0, missing)) for device, store in self._stores.items()}
            if self._positions is not None:
                self._positions = F.pad(self._positions, (0, missing))
        return longest

    def begin(
        self,
        positions: Int[Tensor, "B N"],
        lengths: Int[Tensor, "B"],
        visible: int,
        start: int | None,
        moves: Int[Tensor, "2 B M"] | None = None,
    ) -> Int[Tensor, "B S"]:
        """Begin a pass, as a part of it: commit the last, and note where the layers write and what they see.

        Args:
            positions: of the slots to write, in their sequences.
            lengths: committed slots of every sequence.
            visible: slots that attention sees, S.
            start: first slot to write, if all sequences have the same; None takes `lengths`.
            moves: slots of the last pass to commit, and where they go; None if they are there.

        Returns:
            Positions of all visible slots.
        """
        count, width = positions.shape
        if self._positions is None:
            self._positions = positions.new_zeros(count, self.capacity)
        table = self._positions[:count]
        if moves is not None:
            sequence = torch.arange(count, device=moves.device)[:, None]
            old, new = moves
            table[sequence, new] = table[sequence, old]
            for device, store in self._stores.items():
                here, to, taken = (index.to(device) for index in (sequence, new, old))
                store[:, :, here, :, to] = store[:, :, here, :, taken]
        self._start, self._visible = start, visible
        if start is None:
            self._slots = lengths[:, None] + torch.arange(width, device=lengths.device)
            table.scatter_(1, self._slots, positions)
        else:
            table[:, start : start + width] = positions
        return table[:, :visible]

    def write(
        self, layer: int, keys: Float[Tensor, "B H N D"], values: Float[Tensor, "B H N D"]
    ) -> tuple[Float[Tensor, "B H S D"], Float[Tensor, "B H S D"]]:
        """Write the slots of one layer tentatively; return views of all visible slots."""
        device, index = self._indices[layer]
        count, heads, written, width = keys.shape
        if device not in self._stores:
            # zeros, not empty: a masked slot has weight 0, and 0 times uninitialised memory may be NaN
            shape = (self._counts[device], 2, count, heads, self.capacity, width)
            self._stores[device] = keys.new_zeros(shape)
        k, v = self._stores[device][index, :, :count]
        if self._start is not None:
            stop = self._start + written
            k[:, :, self._start : stop], v[:, :, self._start : stop] = keys, values
        else:
            slots = self._slots.to(device)
            sequence = torch.arange(count, device=device)[:, None]
            k[sequence, :, slots], v[sequence, :, slots] = keys.transpose(1, 2), values.transpose(1, 2)
        return k[:, :, : self._visible], v[:, :, : self._visible]
