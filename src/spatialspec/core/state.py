"""Progress of one image: committed tokens and target passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from spatialspec.core.grid import Grid, Layout
from spatialspec.core.proposal import Proposal
from spatialspec.core.step import Verdict


@dataclass(frozen=True)
class State:
    """Committed tokens of one image: a prefix of its cells in drawing order, and cells ahead of it.

    Attributes:
        layout: its cells.
        tokens: committed tokens before the first open cell; cell t is `tokens[t]`.
        passes: target passes made so far.
        pending: committed cells whose keys and values are not in the cache yet, the last cell of the prefix first;
            raster decoders have no other.
        ahead: cell -> token of cells committed after the first open one.
    """

    layout: Layout
    tokens: tuple[int, ...] = ()
    passes: int = 0
    pending: tuple[int, ...] = ()
    ahead: Mapping[int, int] = field(default_factory=dict)

    @property
    def frontier(self) -> int:
        """First open cell; equals `layout.cells` when the image is complete."""
        return len(self.tokens)

    @property
    def complete(self) -> bool:
        """Whether every cell is written."""
        return len(self.tokens) == self.layout.cells

    @property
    def finished(self) -> tuple[Grid, tuple[int, ...]] | None:
        """The complete rows of the current grid, with their tokens.

        While its first row is open, the grid before it; None if it is the first.
        """
        first, rows = 0, None
        for grid in self.layout.grids:
            if count := min((self.frontier - first) // grid.columns, grid.rows):
                rows = Grid(count, grid.columns), self.tokens[first : first + count * grid.columns]
            first += grid.cells
            if first > self.frontier:
                break
        return rows

    def token(self, cell: int) -> int | None:
        """The token committed at a cell, None where it is open."""
        return self.tokens[cell] if cell < len(self.tokens) else self.ahead.get(cell)

    def extend(self, proposal: Proposal, verdict: Verdict) -> State:
        """The state after a pass.

        Cells that the pass sampled are pending, and so are cells that it read while the cell after them is open.
        """
        if not verdict.commits:
            return replace(self, passes=self.passes + 1)
        tokens = [*self.tokens, *verdict.tokens(proposal)]
        accepted = {proposal.cells[node]: proposal.tokens[node] for node in verdict.elsewhere}
        ahead = {**self.ahead, **dict(verdict.ahead), **accepted}
        if not ahead:
            return State(self.layout, tuple(tokens), self.passes + 1, (len(tokens) - 1,))
        sampled = {cell for cell, _ in verdict.ahead}
        if verdict.token is not None:
            sampled.add(len(tokens) - 1)
        read = (*self.pending, *(proposal.cells[node] for node in verdict.path), *accepted)
        while len(tokens) in ahead:
            tokens.append(ahead.pop(len(tokens)))
        waiting = {c for c in read if len(tokens) <= c + 1 < self.layout.cells and c + 1 not in ahead}
        pending = sorted(sampled | waiting, key=lambda cell: (cell != len(tokens) - 1, cell))
        return State(self.layout, tuple(tokens), self.passes + 1, tuple(pending), ahead)
