"""KV cache with tentative writes: a pass scores a tree, then one path of it is committed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


class Cache:
    """One sequence per image and guidance stream; layers on one device share a tensor, allocated at the first write.

    A pass writes N slots behind the committed slots of each sequence; `commit` then commits some of them. The next pass
    overwrites the others. If a pass needs more slots than `capacity`, all sequences are enlarged.

    Args:
        devices: of every layer.
        capacity: initial slots of a sequence.
        fixed: whether attention always runs over all slots, so that shapes never change, as a compiled decoder needs;
            else over the slots of the longest sequence.
        slot_bytes: of the keys and values of one slot in one layer.

    Attributes:
        lengths: committed slots of each sequence.
    """

    def __init__(
        self, devices: Sequence[torch.device], capacity: int, fixed: bool = False, slot_bytes: int = 0
    ) -> None:
        self.capacity, self.fixed, self._slot_bytes = capacity, fixed, slot_bytes
        self.lengths: list[int] = []
        self._indices = [(device, list(devices[:layer]).count(device)) for layer, device in enumerate(devices)]
        self._counts = {device: list(devices).count(device) for device in devices}
        self._stores: dict[torch.device, Float[Tensor, "L 2 B H S D"]] = {}
        self._start: int | None = None  # first slot to write, if it is the same for every sequence
        self._slots: Int[Tensor, "B N"] = torch.empty(0, dtype=torch.long)  # otherwise the slots to write
        self._visible = 0

    @property
    def even(self) -> bool:
        """Whether every sequence has committed the same number of slots."""
        return min(self.lengths) == max(self.lengths)

    def sequence_bytes(self) -> dict[torch.device, int]:
        """Bytes of one sequence on every device."""
        return {device: layers * self.capacity * self._slot_bytes for device, layers in self._counts.items()}

    def add(self, sequences: int) -> None:
        """Add empty sequences behind the others."""
        self.lengths += [0] * sequences
        for device, store in self._stores.items():
            self._stores[device] = F.pad(store, (0, 0, 0, 0, 0, 0, 0, sequences))

    def select(self, sequences: Sequence[int]) -> None:
        """Drop all sequences but these, in this order."""
        self.lengths = [self.lengths[sequence] for sequence in sequences]
        for device, store in self._stores.items():
            self._stores[device] = store[:, :, list(sequences)]

    def begin(self, width: int, device: torch.device) -> int:
        """Prepare a pass of `width` slots; return the number of visible slots, S."""
        longest = max(self.lengths)
        if (missing := longest + width - self.capacity) > 0:
            self.capacity += missing
            self._stores = {device: F.pad(store, (0, 0, 0, missing)) for device, store in self._stores.items()}
        self._start = longest if self.even and not self.fixed else None
        if self._start is None:
            starts = torch.tensor(self.lengths, device=device)
            self._slots = starts[:, None] + torch.arange(width, device=device)
        self._visible = self.capacity if self.fixed else longest + width
        return self._visible

    def write(
        self, layer: int, keys: Float[Tensor, "B H N D"], values: Float[Tensor, "B H N D"]
    ) -> tuple[Float[Tensor, "B H S D"], Float[Tensor, "B H S D"]]:
        """Write the slots of one layer tentatively; return views of all visible slots."""
        device, index = self._indices[layer]
        if device not in self._stores:
            # zeros, not empty: a masked slot has weight 0, and 0 times uninitialised memory may be NaN
            sequences, heads, _, width = keys.shape
            shape = (self._counts[device], 2, sequences, heads, self.capacity, width)
            self._stores[device] = keys.new_zeros(shape)
        k, v = self._stores[device][index]
        if self._start is not None:
            stop = self._start + keys.shape[2]
            k[:, :, self._start : stop], v[:, :, self._start : stop] = keys, values
        else:
            slots = self._slots.to(device)
            sequence = torch.arange(len(slots), device=device)[:, None]
            k[sequence, :, slots], v[sequence, :, slots] = keys.transpose(1, 2), values.transpose(1, 2)
        return k[:, :, : self._visible], v[:, :, : self._visible]

    def commit(self, sequences: range, prompts: Sequence[int], slots: Sequence[int]) -> None:
        """Commit slots of the last pass: those of the prompt, then `slots` in this order.

        Args:
            sequences: of an image.
            prompts: number of prompt slots in the pass, for each sequence.
            slots: slots behind the prompt, counted from its end; the same for all sequences.
        """
        starts = [self.lengths[s] + prompt for s, prompt in zip(sequences, prompts, strict=True)]
        if list(slots) != list(range(len(slots))):
            for store in self._stores.values():
                first = torch.tensor(starts, device=store.device)[:, None]
                to = first + torch.arange(len(slots), device=store.device)
                chosen = first + torch.tensor(slots, device=store.device)
                image = torch.arange(sequences.start, sequences.stop, device=store.device)[:, None]
                store[:, :, image, :, to] = store[:, :, image, :, chosen]
        for sequence, start in zip(sequences, starts, strict=True):
            self.lengths[sequence] = start + len(slots)
