"""ZipAR (arXiv 2412.04062): several rows of the picture at once, each a window behind the row above.

    C(i, j) = 1  if {x_{i-1,k} : j <= k < min(j + s, C)} is written,  else 0

A cell may be written when C(i, j) = 1. All open rows advance by one cell per pass, so only a row's start has to be
decided: row i + 1 opens when row i has s cells. Nothing is drafted; the one node of a proposal is the *stand-in* at
(i, C-1), from whose slot x_{i+1,0} is predicted while the true cell is open. Passes: C + (R - 1) s.

| variable | symbol |
|---|---|
| `window` | s, or s_min of the adaptive rule (in the verifier) |
| `written` | cells of row i |
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from spatialspec.core.interfaces import Verifier
from spatialspec.core.proposal import ROOT, Proposal, Scores, Verdict
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.methods.options import parameter


@dataclass(frozen=True)
class ZipARShape:
    """When a row opens; windows wider than the picture are the picture's width, which is AR."""

    window: int = parameter(8, "cells of a row after which the next opens, s", 1)


class StandIns:
    """Tokens read in place of a row's last cell while that cell is open; chosen once for each row."""

    def __init__(self) -> None:
        self._chosen: dict[int, int] = {}

    def at(self, cell: int, state: State) -> int:
        """The written token nearest to `cell`, the last of its row, when it is first asked for.

        Fewest rows plus columns away: the end of the lowest complete row, else the newest cell of row 0.
        """
        complete = state.frontier - state.frontier % state.grid.columns
        return self._chosen.setdefault(cell, state.tokens[(complete or state.frontier) - 1])


class ZipAR:
    """The drafter of one image: opens rows."""

    Settings = ZipARShape

    @classmethod
    def make(cls, setting: Setting, settings: ZipARShape, verifier: Verifier) -> ZipAR:
        """The drafter of one image."""
        return cls(settings)

    def __init__(self, shape: ZipARShape) -> None:
        self.shape = shape
        self.stand_ins = StandIns()

    def propose(self, state: State) -> Proposal:
        """A stand-in if the window below the lowest row is full and the row itself is not."""
        if not state.frontier:
            return Proposal()
        columns = state.grid.columns
        row, column = divmod(max(state.ahead, default=state.frontier - 1), columns)
        written, end = column + 1, (row + 1) * columns - 1
        if row + 1 == state.grid.rows or not self.shape.window <= written < columns:
            return Proposal()
        return Proposal([end], [self.stand_ins.at(end, state)], [ROOT])

    def observe(
        self, state: State, proposal: Proposal, verdict: Verdict, p: Float[Tensor, "R V"], scores: Scores
    ) -> None:
        """Learn nothing."""
