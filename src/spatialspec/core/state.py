"""How far an image is written."""

from __future__ import annotations

from dataclasses import dataclass, replace

from spatialspec.core.grid import Grid
from spatialspec.core.proposal import Proposal, Verdict


@dataclass(frozen=True)
class State:
    """Committed tokens of one image, a prefix of the raster order.

    Attributes:
        grid: its cells.
        tokens: committed tokens; cell t is `tokens[t]`.
        passes: target passes made so far.
    """

    grid: Grid
    tokens: tuple[int, ...] = ()
    passes: int = 0

    @property
    def frontier(self) -> int:
        """First open cell; equals `grid.cells` when the image is complete."""
        return len(self.tokens)

    @property
    def complete(self) -> bool:
        """Whether every cell is written."""
        return len(self.tokens) == self.grid.cells

    @property
    def pending(self) -> tuple[int, ...]:
        """Cells whose keys and values are not in the cache yet: the last committed one."""
        return () if not self.tokens else (len(self.tokens) - 1,)

    def extend(self, proposal: Proposal, verdict: Verdict) -> State:
        """The state after a pass."""
        return replace(self, tokens=(*self.tokens, *verdict.tokens(proposal)), passes=self.passes + 1)
