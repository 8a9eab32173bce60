"""ZipAR's sampling (arXiv 2412.04062): every open row writes its next cell in every pass, untested.

A cell takes a sample of p at its slot, under coupled noise argmax(log p + g). With the adaptive window the first cell
x of row i + 1 is a draft that is tested once per pass, while row i grows to k cells:

    u < min(1, p_k(x) / p_{k-1}(x)):  write x
    else:                             x <- a sample of normalise(max(p_k - p_{k-1}, 0)), still a draft

and is written at the latest when row i is complete, k = C. Under coupled noise a draft is accepted when windows k - 1
and k name the same token. Not exact: early cells are sampled with less context than AR gives them.

| variable | symbol |
|---|---|
| `_drafts` | x and p_{k-1}, by the cell of x |
| `whole` | k = C |
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from spatialspec.core.noise import Purpose, best, inverse_cdf
from spatialspec.core.proposal import Proposal, Verdict
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.on_rule import OnRule
from spatialspec.methods.options import parameter
from spatialspec.methods.rejection import Rejection


@dataclass(frozen=True)
class ZipARWindow:
    """How the window of a row is found."""

    kind: str = parameter("fixed", "window between rows; adaptive: `window` or more", choices=("fixed", "adaptive"))


class EveryRow(OnRule):
    """Verifier that samples the next cell of every row; draws by the rule of another verifier."""

    Settings = ZipARWindow

    @classmethod
    def make(cls, setting: Setting, settings: ZipARWindow, rule: str) -> EveryRow:
        """The verifier of one image."""
        return cls((Coupled if rule == "coupled" else Rejection)(setting.noise), settings.kind == "adaptive")

    def __init__(self, rule: Coupled | Rejection, adaptive: bool) -> None:
        super().__init__(rule)
        self.noise, self.adaptive = rule.noise, adaptive
        self._drafts: dict[int, tuple[int, Float[Tensor, "V"]]] = {}

    def verify(self, proposal: Proposal, p: Float[Tensor, "R V"], state: State) -> Verdict:
        """Write the open cell behind every pending cell and every stand-in, but for drafts that have to wait."""
        if proposal.final:
            return Verdict()
        after = [cell + 1 for cell in (*(state.pending or (-1,)), *proposal.cells)]
        rows = [row for row, cell in enumerate(after) if cell < state.grid.cells and state.token(cell) is None]
        cells = [after[row] for row in rows]
        first_stand_in = len(after) - len(proposal)
        written: dict[int, int] = {}
        for row, cell, fresh in zip(rows, cells, self._sample(p[rows], cells, state.passes), strict=True):
            token: int | None = fresh
            if self.adaptive and cell and not cell % state.grid.columns:
                token = self._test(p[row], cell, fresh, row < first_stand_in, state.passes)
            if token is not None:
                written[cell] = token
        return Verdict(token=written.pop(state.frontier), ahead=tuple(written.items()))

    def _sample(self, p: Float[Tensor, "N V"], cells: list[int], turn: int) -> list[int]:
        if isinstance(self.rule, Coupled):
            return best(p.log() + self.noise.gumbel(cells)).tolist()
        return inverse_cdf(p, self.noise.uniform(Purpose.RESIDUAL, turn, cells, [0] * len(cells))).tolist()

    def _test(self, p: Float[Tensor, "V"], cell: int, fresh: int, whole: bool, turn: int) -> int | None:
        """The token of a row's first cell, None while its draft waits; `fresh` is a sample of p."""
        if cell in self._drafts:
            draft, q = self._drafts.pop(cell)
            if isinstance(self.rule, Rejection):
                (fresh,) = self.rule.couple(p[None], q[None], [draft], [cell], turn)
            whole = whole or fresh == draft  # the residual never names a draft that it replaces
        if whole:
            return fresh
        self._drafts[cell] = fresh, p
        return None
