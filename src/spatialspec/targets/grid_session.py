"""One pass of a grid transformer over pending tokens and trees, for a batch of images with a cache each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spatialspec.core.grid import Grid
from spatialspec.core.kv_cache import KVCache
from spatialspec.core.proposal import Proposal, Scores, Verdict
from spatialspec.core.state import State
from spatialspec.targets.grid_transformer import GridTransformer

SPARE = 128  # slots behind the last cell, so that wide trees fit until the end


class GridSession:
    """Rows of the batch are image-major: all guidance streams of image 0, then of image 1, and so on.

    Args:
        model: the transformer, in evaluation mode.
        prefix: conditioning states, (images * streams, P, d).
        streams: 1, or 2 with guidance (conditional first).
        grid: of every image.
    """

    def __init__(self, model: GridTransformer, prefix: Float[Tensor, "B P d"], streams: int, grid: Grid) -> None:
        c = model.config
        self.model, self.prefix, self.streams, self.grid = model, prefix, streams, grid
        self.places = model.places(grid.rows, grid.columns)
        cos, sin = model.rotations(grid.rows, grid.columns)
        still = cos.new_zeros(prefix.shape[1], cos.shape[1])
        self.cos, self.sin = torch.cat((still + 1, cos)), torch.cat((still, sin))
        slots = prefix.shape[1] + grid.cells + SPARE
        self.cache = KVCache(c.layers, len(prefix), c.heads, slots, c.width // c.heads, prefix)

    @torch.inference_mode()
    def score(self, states: Sequence[State], proposals: Sequence[Proposal]) -> list[Scores]:
        """One pass: the prefix if the cache is empty, the pending cells, the proposal's nodes.

        Returns:
            Scores of each image; row 0 is the last committed slot, row i + 1 is node i.
        """
        first, g = self.cache.lengths[0] == 0, self.streams
        base = self.prefix.shape[1] if first else 1
        width = base + max(len(p) for p in proposals)
        x, rotation = self._slots(states, proposals, first, width)
        seen = self.cache.begin(width)
        mask = None if width == 1 and self.cache.even else self._mask(proposals, base, width, seen)
        hidden = self.model(x, rotation, mask, self.cache)[:, base - 1 :]
        hidden = hidden.unflatten(0, (-1, g))
        logits = self.model.head(hidden)
        rows = [1 + len(p) for p in proposals]
        return [Scores(logits[i, :, :r], hidden[i, :, :r]) for i, r in enumerate(rows)]

    def _slots(
        self, states: Sequence[State], proposals: Sequence[Proposal], first: bool, width: int
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Embedded slots (B, width, d) and their rotations."""
        prefix, start = self.prefix.shape[1], 0 if first else 1
        body = width - prefix if first else width
        cells = np.zeros((len(states), body), dtype=np.int64)
        tokens = np.zeros_like(cells)
        for i, (state, proposal) in enumerate(zip(states, proposals, strict=True)):
            if not first:
                cells[i, 0], tokens[i, 0] = state.frontier - 1, state.tokens[-1]
            if len(proposal):
                cells[i, start : start + len(proposal)] = proposal.cells
                tokens[i, start : start + len(proposal)] = proposal.tokens
        device = self.prefix.device
        cell = torch.from_numpy(cells).to(device)
        x = self.model.code_embedding(torch.from_numpy(tokens).to(device)) + self.places[cell + 1]
        cell = cell + prefix
        if first:
            cell = torch.cat((torch.arange(prefix, device=device).expand(len(cell), -1), cell), dim=1)
        rotation = self._spread(self.cos[cell][:, None]), self._spread(self.sin[cell][:, None])
        x = self._spread(x)
        if first:
            last = self.prefix[:, -1:] + self.places[0]
            x = torch.cat((self.prefix[:, :-1], last, x), dim=1)
        return x, rotation

    def _spread(self, x: Tensor) -> Tensor:
        """Repeat each image's row for its streams."""
        return x if self.streams == 1 else x.repeat_interleave(self.streams, dim=0)

    def _mask(self, proposals: Sequence[Proposal], base: int, width: int, seen: int) -> Bool[Tensor, "B 1 N S"]:
        """Slots see what their image has committed, the base of this pass causally, and their ancestors."""
        lengths = self.cache.lengths[:: self.streams]
        mask = np.zeros((len(proposals), 1, width, seen), dtype=bool)
        for i, (length, proposal) in enumerate(zip(lengths, proposals, strict=True)):
            mask[i, 0, :, :length] = True
            mask[i, 0, :base, length : length + base] = np.tri(base, dtype=bool)
            mask[i, 0, base:, length : length + base] = True
            if n := len(proposal):
                nodes = slice(length + base, length + base + n)
                mask[i, 0, base : base + n, nodes] = proposal.ancestors()
        return self._spread(torch.from_numpy(mask).to(self.prefix.device))

    @torch.inference_mode()
    def keep(self, image: int, proposal: Proposal, verdict: Verdict) -> None:
        """Commit prefix, pending cell and path, all but the last committed cell, which stays pending.

        A refinement round commits nothing: the next pass reads the same root again.
        """
        row = image * self.streams
        base = self.prefix.shape[1] if self.cache.lengths[row] == 0 else 1
        path = verdict.path if verdict.token is not None else verdict.path[:-1]
        slots = [*range(base), *(base + node for node in path)] if verdict.rows() else []
        for stream in range(self.streams):
            self.cache.keep(row + stream, slots)

    @torch.inference_mode()
    def close(self, images: Sequence[int]) -> None:
        """Drop the rows of finished images."""
        if not images:
            return
        gone = {image * self.streams + s for image in images for s in range(self.streams)}
        rows = [row for row in range(len(self.prefix)) if row not in gone]
        self.prefix = self.prefix[rows]
        self.cache.select(rows)
