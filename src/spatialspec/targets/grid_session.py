"""One pass of a grid transformer over pending tokens and trees, for a batch of images with a cache each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spatialspec.core.grid import Grid
from spatialspec.core.proposal import Proposal, Scores, Verdict
from spatialspec.core.state import State
from spatialspec.targets.icons.grid_model import GridModel
from spatialspec.targets.kv_cache import KVCache

SPARE = 128  # slots behind the last cell, so that wide trees fit until the end


class GridSession:
    """Rows of the batch are image-major: all guidance streams of image 0, then of image 1, and so on.

    Args:
        model: the transformer, in evaluation mode.
        prefix: conditioning states, (images * streams, P, d).
        streams: 1, or 2 with guidance (conditional first).
        grid: of every image.
        visible: which slots of the prefix are seen, where some rows have a shorter one; None for all.
        told: what the slot before each cell is told of it; None for its place alone.
    """

    def __init__(
        self,
        model: GridModel,
        prefix: Float[Tensor, "B P d"],
        streams: int,
        grid: Grid,
        visible: Bool[Tensor, "B P"] | None = None,
        told: Float[Tensor, "B cells+1 d"] | None = None,
    ) -> None:
        c = model.config
        self.model, self.prefix, self.streams, self.grid, self.visible = model, prefix, streams, grid, visible
        self.told = model.places(grid.rows, grid.columns).expand(len(prefix), -1, -1) if told is None else told
        cos, sin = model.rotations(grid.rows, grid.columns)
        still = cos.new_zeros(prefix.shape[1], cos.shape[1])
        self.cos, self.sin = torch.cat((still + model.prefix_cosine, cos)), torch.cat((still, sin))
        slots = prefix.shape[1] + grid.cells + SPARE
        self.cache = KVCache(c.layers, len(prefix), c.heads, slots, c.width // c.heads, prefix)
        self._order: list[list[int]] = [[] for _ in range(len(prefix) // streams)]  # cells behind the prefix, as kept
        self._before: Sequence[State] = ()

    @torch.inference_mode()
    def score(self, states: Sequence[State], proposals: Sequence[Proposal]) -> list[Scores]:
        """One pass: the prefix if the cache is empty, the pending cells, the proposal's nodes.

        Returns:
            Scores of each image: rows of its pending cells (of the prefix's last slot, at the start), then of nodes.
        """
        self._before = states
        prefix = 0 if self.cache.lengths[0] else self.prefix.shape[1]
        body = max(len(s.pending) + len(p) for s, p in zip(states, proposals, strict=True))
        x, rotation = self._slots(states, proposals, prefix, body)
        width = prefix + body
        seen = self.cache.begin(width)
        alike = self.cache.even and self.visible is None
        plain = width == 1 and alike and not any(state.ahead for state in states)
        mask = None if plain else self._mask(states, proposals, prefix, width, seen)
        asked = {block for proposal in proposals for block in proposal.blocks}
        inner: list[Tensor] | None = [] if asked else None
        hidden = self._rows(self.model(x, rotation, mask, self.cache, inner), prefix)
        blocks = {block: self._rows(inner[block - 1], prefix) for block in asked} if inner else {}
        logits = self.model.head(hidden)
        rows = [max(1, len(s.pending)) + len(p) for s, p in zip(states, proposals, strict=True)]
        return Scores.of_batch(logits, hidden, blocks, rows, proposals)

    def _rows(self, states: Float[Tensor, "B N d"], prefix: int) -> Float[Tensor, "images G R d"]:
        """Without the slots of the prefix but its last, images and streams apart."""
        return states[:, max(prefix - 1, 0) :].unflatten(0, (-1, self.streams))

    def _slots(
        self, states: Sequence[State], proposals: Sequence[Proposal], prefix: int, body: int
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Embedded slots (B, prefix + body, d) and their rotations."""
        cells = np.zeros((len(states), body), dtype=np.int64)
        tokens = np.zeros_like(cells)
        for i, (state, proposal) in enumerate(zip(states, proposals, strict=True)):
            used = len(state.pending) + len(proposal)
            cells[i, :used] = [*state.pending, *proposal.cells]
            written = [token for cell in state.pending if (token := state.token(cell)) is not None]
            tokens[i, :used] = [*written, *proposal.tokens]
        device = self.prefix.device
        cell = torch.from_numpy(cells).to(device)
        rows = torch.arange(len(self.prefix), device=device)[:, None]
        x = self._spread(self.model.code_embedding(torch.from_numpy(tokens).to(device)))
        x = x + self.told[rows, self._spread(cell + 1)]
        cell = cell + self.prefix.shape[1]
        if prefix:
            cell = torch.cat((torch.arange(prefix, device=device).expand(len(cell), -1), cell), dim=1)
        rotation = self._spread(self.cos[cell][:, None]), self._spread(self.sin[cell][:, None])
        if prefix:
            last = self.prefix[:, -1:] + self.told[:, :1]
            x = torch.cat((self.prefix[:, :-1], last, x), dim=1)
        return x, rotation

    def _spread(self, x: Tensor) -> Tensor:
        """Repeat each image's row for its streams."""
        return x if self.streams == 1 else x.repeat_interleave(self.streams, dim=0)

    def _mask(
        self, states: Sequence[State], proposals: Sequence[Proposal], prefix: int, width: int, seen: int
    ) -> Float[Tensor, "B 1 N S"]:
        """Slots see the prefix, committed cells before their own in raster order, and their ancestors in the tree.

        0 there and -inf elsewhere, as attention adds it: of booleans every layer would make that again.
        """
        mask = np.zeros((len(proposals), 1, width, seen), dtype=bool)
        for i, (state, proposal) in enumerate(zip(states, proposals, strict=True)):
            length, pending, nodes = self.cache.lengths[i * self.streams], len(state.pending), len(proposal)
            mask[i, 0, :, :length] = True
            mask[i, 0, :prefix, length : length + prefix] = np.tri(prefix, dtype=bool)
            mask[i, 0, prefix:, length : length + prefix] = True
            first = length + prefix
            mask[i, 0, prefix:, first : first + pending] = True
            if state.ahead or pending > 1:
                own = np.array([*state.pending, *proposal.cells])[:, None]
                written = np.array([*self._order[i], *state.pending])
                mask[i, 0, prefix : prefix + len(own), self.prefix.shape[1] : first + pending] = written <= own
            if nodes:
                start = prefix + pending
                mask[i, 0, start : start + nodes, first + pending : first + pending + nodes] = proposal.ancestors()
        spread = self._spread(torch.from_numpy(mask).to(self.prefix.device))
        if self.visible is not None:
            spread[..., : self.visible.shape[1]] &= self.visible[:, None, None]
            spread[:, 0, :prefix, :prefix] |= torch.eye(prefix, dtype=torch.bool, device=spread.device)  # no empty row
        return self.prefix.new_zeros(spread.shape).masked_fill_(~spread, -torch.inf)

    @torch.inference_mode()
    def keep(self, image: int, proposal: Proposal, verdict: Verdict, after: State) -> None:
        """Commit the prefix, and of pending cells and accepted nodes what is not pending `after` the pass as well.

        A refinement round commits nothing: the next pass reads the same root again.
        """
        if not verdict.commits:
            return
        row, before = image * self.streams, self._before[image]
        prefix = 0 if self.cache.lengths[row] else self.prefix.shape[1]
        accepted = (*verdict.path, *verdict.elsewhere)
        places = [*range(len(before.pending)), *(len(before.pending) + node for node in accepted)]
        cells = [*before.pending, *(proposal.cells[node] for node in accepted)]
        kept = [(place, cell) for place, cell in zip(places, cells, strict=True) if cell not in after.pending]
        self._order[image] += [cell for _, cell in kept]
        slots = [*range(prefix), *(prefix + place for place, _ in kept)]
        self.cache.keep(slice(row, row + self.streams), slots)

    @torch.inference_mode()
    def close(self, images: Sequence[int]) -> None:
        """Drop the rows of finished images."""
        if not images:
            return
        gone = {image * self.streams + s for image in images for s in range(self.streams)}
        rows = [row for row in range(len(self.prefix)) if row not in gone]
        self.prefix, self.told = self.prefix[rows], self.told[rows]
        self.visible = None if self.visible is None else self.visible[rows]
        self.cache.select(rows)
        self._order = [order for i, order in enumerate(self._order) if i not in images]
