"""Memory for the keys and values of images, known before their first pass."""

from __future__ import annotations

from collections.abc import Sequence

import psutil
import torch

from spatialspec.core.errors import BadInput
from spatialspec.targets.cache import Cache


def check_room(cache: Cache, streams: Sequence[int]) -> None:
    """Refuse images whose keys and values do not fit, before anything is computed.

    Args:
        cache: that they are added to.
        streams: sequences of every image, one for each guidance stream.

    Raises:
        BadInput: a device has less memory left than they take; the message says how many images fit.
    """
    for device, each in cache.sequence_bytes().items():
        needed, free = each * sum(streams), free_memory(device)
        if free is not None and needed > free:
            most = free // (each * max(streams))
            got = f"{len(streams)} images, whose keys and values take {needed / 1e9:,.2f} GB"
            advice = f"draw at most {most} at once" if most else "draw a smaller grid, or free memory"
            raise BadInput(got, f"at most {free / 1e9:,.2f} GB, which {device} has free", advice)


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated on a device; None if unknown."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return int(psutil.virtual_memory().available) if device.type == "cpu" else None
