"""Drafted tokens that the host has not read, on the device, for all images of a session."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from spatialspec.core.proposal import Proposal

ROOM = 512  # drafts of an image that there is room for: a multiple


class DraftBuffer:
    """The drafts of the proposals of a pass. It keeps its place while they fit into it.

    Attributes:
        table: `Proposal.drafts` by image.
    """

    def __init__(self, device: torch.device) -> None:
        self.table: Int[Tensor, "B D"] = torch.zeros(1, ROOM, dtype=torch.int64, device=device)

    @torch.inference_mode()
    def put(self, proposals: Sequence[Proposal]) -> bool:
        """Store the drafts of every image; return whether there are any."""
        drafts = {index: each.drafts for index, each in enumerate(proposals) if each.drafts is not None}
        most = max((len(each) for each in drafts.values()), default=0)
        images, room = self.table.shape
        if len(proposals) > images or most > room:
            shape = max(len(proposals), images), max(-(-most // ROOM) * ROOM, room)
            self.table = self.table.new_zeros(shape)
        for index, each in drafts.items():
            self.table[index, : len(each)] = each
        return bool(drafts)


def looked_up(tokens: Int[Tensor, "B N"], drafts: Int[Tensor, "images D"], vocabulary: int) -> Int[Tensor, "B N"]:
    """Tokens in place of codes; the last one for a draft that is no token, drawn from a q that is NaN."""
    drafted = drafts[: len(tokens)].gather(-1, (-1 - tokens).clamp(min=0)).clamp(max=vocabulary - 1)
    return torch.where(tokens < 0, drafted, tokens)
