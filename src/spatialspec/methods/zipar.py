"""ZipAR (arXiv 2412.04062): several rows of the image at once, each a window behind the row above.

    C(i, j) = 1  if {x_{i-1,k} : j <= k < min(j + s, C)} is written,  else 0

A cell may be written when C(i, j) = 1. All open rows advance by one cell per pass, so only a row's start has to be
decided: row i + 1 opens when row i has s cells. Nothing is drafted; the one node of a proposal is the *placeholder* at
(i, C-1), from whose slot x_{i+1,0} is predicted while the true cell is open. Passes: C + (R - 1) s. Several grids: the
first row of each opens when the grid before is complete.

Verification: a cell takes a sample of p at its slot, under coupled noise argmax(log p + g). With the adaptive window
the first cell x of row i + 1 is a draft that is tested once per pass, while row i grows to k cells:

    u < min(1, p_k(x) / p_{k-1}(x)):  write x
    else:                             x <- a sample of normalise(max(p_k - p_{k-1}, 0)), still a draft

and is written at the latest when row i is complete, k = C. Under coupled noise a draft is accepted when windows k - 1
and k give the same token. Not exact: early cells are sampled with less context than in AR.

| variable | symbol |
|---|---|
| `window` | s, or s_min of the adaptive rule |
| `written` | cells of row i |
| `_drafts` | x and p_{k-1}, by the cell of x |
| `whole` | k = C |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Drafter, Verifier
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Verdict
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.method import Method
from spatialspec.methods.options import Options
from spatialspec.methods.rejection import Rejection


class ZipAROptions(Options):
    """When a row opens; a window at least as wide as the image is AR."""

    fixed = "a pass has one slot for each open row: set window, after which the next row opens"
    window: int = Field(default=8, ge=1, le=1024, description="cells of a row after which the next opens, s")
    kind: Literal["fixed", "adaptive"] = Field(default="fixed", description="adaptive: `window` or more")


class Placeholders:
    """Tokens read in place of a row's last cell while that cell is open; chosen once for each row."""

    def __init__(self) -> None:
        self._chosen: dict[int, int] = {}

    def at(self, cell: int, state: State) -> int:
        """The placeholder for `cell`, the last of its row: the nearest written token at the first call.

        The nearest by rows plus columns: the end of the lowest complete row, else the last written cell of row 0.
        """
        grid, index = state.layout.locate(state.frontier)
        column = index % grid.columns if index >= grid.columns else 0
        return self._chosen.setdefault(cell, state.tokens[state.frontier - column - 1])


class ZipAR(Drafter):
    """The drafter of one image, which opens rows."""

    def __init__(self, context: DecodeContext, options: ZipAROptions, verifier: Verifier) -> None:
        self.window = options.window
        self.placeholders = Placeholders()

    def propose(self, state: State) -> Proposal:
        """A placeholder, if the lowest row has `window` cells and is not complete."""
        last = max(state.ahead, default=state.frontier - 1)
        grid, index = state.layout.locate(last)
        row, column = divmod(index, grid.columns)
        written, end = column + 1, last - column + grid.columns - 1
        if row + 1 == grid.rows or not self.window <= written < grid.columns:
            return Proposal()
        return Proposal([end], [self.placeholders.at(end, state)], [ROOT])


class EveryRow(Verifier):
    """Verifier that samples the next cell of every row by the rule of another verifier."""

    def __init__(self, context: DecodeContext, options: ZipAROptions, rule: Coupled | Rejection) -> None:
        self.rule, self.ranks, self.adaptive = rule, rule.ranks, options.kind == "adaptive"
        self._drafts: dict[int, tuple[int, Float[Tensor, "V"]]] = {}

    def draw(
        self, q: Float[Tensor, "Q V"], indices: Sequence[int], cells: Sequence[int], pass_index: int
    ) -> Int[Tensor, "N"]:
        """As the rule draws them."""
        return self.rule.draw(q, indices, cells, pass_index)

    def verify(self, proposal: Proposal, scores: Scores, state: State) -> Verdict:
        """Commit the open cell after every pending cell and placeholder, except drafts that are to be tested again."""
        after = [cell + 1 for cell in (*(state.pending or (-1,)), *proposal.cells)]
        slots = [slot for slot, cell in enumerate(after) if cell < state.layout.cells and state.token(cell) is None]
        cells = [after[slot] for slot in slots]
        first_placeholder = len(after) - len(proposal)
        written: dict[int, int] = {}
        for slot, cell, fresh in zip(slots, cells, self.rule.sample(scores, slots, cells, state.passes), strict=True):
            token: int | None = fresh
            grid, index = state.layout.locate(cell)
            if self.adaptive and index and not index % grid.columns:
                token = self._test(scores.p[slot], cell, fresh, slot < first_placeholder, state.passes)
            if token is not None:
                written[cell] = token
        return Verdict(token=written.pop(state.frontier), ahead=tuple(written.items()))

    def _test(self, p: Float[Tensor, "V"], cell: int, fresh: int, whole: bool, pass_index: int) -> int | None:
        """The token of a row's first cell, None while it is a draft; `fresh` is a sample of p."""
        if cell in self._drafts:
            draft, q = self._drafts.pop(cell)
            if isinstance(self.rule, Rejection):
                (fresh,) = self.rule.couple(p[None], q[None], [draft], [cell], pass_index)
            whole = whole or fresh == draft  # a sample of the residual never equals the draft that it replaces
        if whole:
            return fresh
        self._drafts[cell] = fresh, p
        return None


METHOD = Method(
    "zipar", "every row of the image a window behind the row above", ZipAROptions(), ZipAR,
    verifier=EveryRow, lossless=False,
)  # fmt: skip
