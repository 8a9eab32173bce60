"""Images are drawn in the dtype of the weights, whatever context the caller is in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def unrounded(device: torch.device) -> AbstractContextManager[None]:
    """A context in which autocast of the caller changes nothing."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
