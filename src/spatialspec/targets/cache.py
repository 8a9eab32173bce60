"""Keys and values of every layer, written tentatively: score a tree, then commit one path of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


class Cache:
    """One sequence per image and guidance stream; the layers of a device share one tensor, made at the first write.

    A pass writes its N slots behind what each sequence has committed; `commit` then commits some of them. The rest is
    overwritten by the next pass. Where a pass needs more slots than `capacity`, all sequences get them: wide drafts for
    one image beside another that is nearly done.

    Args:
        devices: of every layer.
        capacity: slots of a sequence, at first.
        fixed: whether every layer sees all slots, so that its shapes never change, as a compiled decoder needs; else it
            sees as many as the longest sequence has.

    Attributes:
        lengths: committed slots of each sequence.
    """

    def __init__(self, devices: Sequence[torch.device], capacity: int, fixed: bool = False) -> None:
        self.capacity, self.fixed = capacity, fixed
        self.lengths: list[int] = []
        self._indices = [(device, list(devices[:layer]).count(device)) for layer, device in enumerate(devices)]
        self._counts = {device: list(devices).count(device) for device in devices}
        self._stores: dict[torch.device, Float[Tensor, "L 2 B H S D"]] = {}
        self._start: int | None = None  # where every sequence writes, if that is one slot
        self._slots: Int[Tensor, "B N"] = torch.empty(0, dtype=torch.long)  # otherwise the slots that each writes
        self._seen = 0

    @property
    def even(self) -> bool:
        """Whether every sequence has committed the same number of slots."""
        return min(self.lengths) == max(self.lengths)

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
        """Announce a pass of `width` slots; return the number of slots that it can see, S."""
        longest = max(self.lengths)
        if (missing := longest + width - self.capacity) > 0:
            self.capacity += missing
            self._stores = {device: F.pad(store, (0, 0, 0, missing)) for device, store in self._stores.items()}
        self._start = longest if self.even and not self.fixed else None
        if self._start is None:
            starts = torch.tensor(self.lengths, device=device)
            self._slots = starts[:, None] + torch.arange(width, device=device)
        self._seen = self.capacity if self.fixed else longest + width
        return self._seen

    def write(
        self, layer: int, keys: Float[Tensor, "B H N D"], values: Float[Tensor, "B H N D"]
    ) -> tuple[Float[Tensor, "B H S D"], Float[Tensor, "B H S D"]]:
        """Write one layer's slots tentatively and return views of all that is visible."""
        device, index = self._indices[layer]
        if device not in self._stores:
            # zeros, not empty: a masked slot has weight 0, and 0 times what memory happens to hold may be NaN
            sequences, heads, _, width = keys.shape
            shape = (self._counts[device], 2, sequences, heads, self.capacity, width)
            self._stores[device] = keys.new_zeros(shape)
        k, v = self._stores[device][index]
        if self._start is not None:
            stop = self._start + keys.shape[2]
            k[:, :, self._start : stop], v[:, :, self._start : stop] = keys, values
        else:
            slots = self._slots.to(device)
            every = torch.arange(len(slots), device=device)[:, None]
            k[every, :, slots], v[every, :, slots] = keys.transpose(1, 2), values.transpose(1, 2)
        return k[:, :, : self._seen], v[:, :, : self._seen]

    def commit(self, sequences: range, prompts: Sequence[int], slots: Sequence[int]) -> None:
        """Commit slots of the last pass, in this order, behind the first `prompts` slots, which are all committed.

        Args:
            sequences: of an image.
            prompts: of each, slots that its prompt had in the pass.
            slots: behind the prompt, counted from its end; the same for all sequences.
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
