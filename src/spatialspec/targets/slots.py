"""Slots of a pass: positions of image tokens and forced tokens in the sequence of a language model.

    prompt | cell 0 | cell 1 | ... | last cell of row 0 | F forced tokens | first cell of row 1 | ...

After each row the layout dictates F forced tokens (a row end; none for many models). A pass that reads the last cell of
a row reads them too; the state after them outputs the next cell, and they are committed or dropped with that cell. So
they cost no pass and are never drafted, sampled or counted. Those after the last row are not read. In a layout of
several grids, M other tokens replace them after the last row of each grid but the last.

A worked example, 2 columns, F = 1. Pending is cell 0; the tree has nodes 0 (cell 1), 1 (cell 2, child of 0):

    slot      0       1       2       3         a slot attends to the marked slots, and to committed ones
    entry     cell 0  node 0  end     node 1
    position  0       1       2       3         position in the sequence, from the end of the prompt
    slot 0    x
    slot 1    x       x
    slot 2    x       x       x
    slot 3    x       x       x       x
    scores    slot 0          slot 2  slot 3    of the pass: pending cell, node 0 (its end), node 1
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int

from spatialspec.core.grid import Layout
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State


@dataclass(frozen=True)
class Slots:
    """Slots of one image in a pass: entries (pending cells, then nodes), each followed by its forced tokens.

    Attributes:
        pending: number of pending cells; further entries are nodes.
        tokens: token, or code, of the entry that a slot belongs to.
        steps: 0 for an entry, j for the j-th token after a row, F + j for the j-th after a grid.
        positions: position in the sequence, counted from the end of the prompt.
        entries: index of the entry that a slot belongs to.
        last: last slot of each entry, whose state outputs the next cell.
    """

    pending: int
    tokens: Int[np.ndarray, "N"]
    steps: Int[np.ndarray, "N"]
    positions: Int[np.ndarray, "N"]
    entries: Int[np.ndarray, "N"]
    last: Int[np.ndarray, "E"]

    @classmethod
    def of(cls, state: State, proposal: Proposal, forced: int, between: int) -> Slots:
        """Lay out a pass.

        Args:
            state: of the image before the pass.
            proposal: its drafts.
            forced: number of tokens after each row, F.
            between: number of tokens after each grid, M.
        """
        written = [token for cell in state.pending if (token := state.token(cell)) is not None]
        cells = np.array([*state.pending, *proposal.cells], dtype=np.int64)
        tokens = np.array([*written, *proposal.codes], dtype=np.int64)
        if not forced and not between:
            alone = np.arange(len(cells))
            return cls(len(state.pending), tokens, np.zeros_like(alone), cells, alone, alone)
        ends = ends_row(state.layout, forced, between)
        counts = 1 + ends[cells]
        entries = np.repeat(np.arange(len(cells)), counts)
        last = counts.cumsum() - 1
        behind = np.arange(len(entries)) - (last - counts + 1)[entries]
        positions = (cells + (ends.cumsum() - ends)[cells])[entries] + behind
        steps = np.where(behind > 0, behind + forced * ends_grid(state.layout)[cells][entries], 0)
        return cls(len(state.pending), tokens[entries], steps, positions, entries, last)

    def __len__(self) -> int:
        return len(self.tokens)

    def of_entry(self, entry: int) -> range:
        """All slots of an entry."""
        return range(int(self.last[entry - 1]) + 1 if entry else 0, int(self.last[entry]) + 1)

    def mask(self, proposal: Proposal) -> Bool[np.ndarray, "N N"]:
        """Slot i attends to slots of pending cells up to its position, and to its branch of the tree."""
        before = self.positions[None, :] <= self.positions[:, None]
        nodes = self.entries >= self.pending
        ancestors = np.eye(len(self.last), dtype=bool)
        ancestors[self.pending :, self.pending :] = proposal.ancestors()
        branch = ancestors[self.entries[:, None], self.entries[None, :]]
        return before & (branch | ~nodes[None, :])


@lru_cache(maxsize=64)
def ends_grid(layout: Layout) -> Bool[np.ndarray, "cells"]:
    """Which cells are the last of their grid."""
    ends = np.zeros(layout.cells, dtype=bool)
    ends[np.cumsum([grid.cells for grid in layout.grids]) - 1] = True
    return ends


@lru_cache(maxsize=64)
def ends_row(layout: Layout, forced: int, between: int) -> Int[np.ndarray, "cells"]:
    """Number of forced tokens after each cell: F after a row, M after a grid, 0 after the last cell."""
    column = np.concatenate([np.arange(grid.cells) % grid.columns - grid.columns for grid in layout.grids])
    counts = np.where(ends_grid(layout), between, forced * (column == -1))
    counts[-1] = 0
    return counts


def length(layout: Layout, forced: int, between: int) -> int:
    """Number of tokens of an image with forced ones; those after the last row count, although they are not read."""
    return layout.cells + forced * sum(grid.rows for grid in layout.grids) + between * (len(layout.grids) - 1)
