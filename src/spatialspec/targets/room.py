"""Memory for the keys and values of images, known before their first pass."""

from __future__ import annotations

from collections.abc import Sequence

from spatialspec.core.errors import BadInput
from spatialspec.devices import free_memory
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
