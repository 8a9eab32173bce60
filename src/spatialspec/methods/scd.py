"""SCD, also MC-SJD (arXiv 2510.24211): SJD with drafts that change as rarely as possible between passes.

    maximal: x'_i = x_i if U < p_i(x_i) / q_i(x_i), else a sample of normalise(max(p_i - q_i, 0))
    gumbel:  x'_i = argmax(log p_i + G_i), with the same G_i in every pass

In both forms x'_i has the distribution p_i, which is its q in the next pass, as in SJD. The maximal form is the
adaptive continuation of SJD-PAC. Several grids: as in SJD.

| variable | symbol in the paper |
|---|---|
| `couple` | pi_MC, maximal coupling of p^{t-1} and p^t |
| `noise.gumbel` | G_i |
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Coupling
from spatialspec.core.state import State
from spatialspec.methods.method import Method
from spatialspec.methods.options import LARGEST
from spatialspec.methods.sjd import Window, WindowOptions


class SCDOptions(WindowOptions):
    """Window, and coupling of drafts between passes."""

    length: int = Field(
        default=32, ge=2, le=LARGEST, description="slots of a pass L: the pending token and L - 1 drafts"
    )
    form: Literal["maximal", "gumbel"] = Field(default="maximal", description="coupling of drafts from pass to pass")


class SCD(Window):
    """The drafter; the verifier is rejection."""

    def __init__(self, context: DecodeContext, options: WindowOptions, verifier: Coupling) -> None:
        super().__init__(context, options, verifier)
        self.coupling = verifier
        self.gumbel = isinstance(options, SCDOptions) and options.form == "gumbel"

    def fill(self, state: State) -> range:
        """As in the base; in the Gumbel form with the cell's coupled noise."""
        known, window = len(self.tokens), super().fill(state)
        if self.gumbel and (new := window[known:]):
            self.tokens[known:] = self._best(self.q[self.indices(new)], new)
        return window

    def refresh(
        self, tokens: list[int], q: Float[Tensor, "N V"], p: Float[Tensor, "M V"], cells: range, state: State
    ) -> list[int]:
        """Samples of p that equal the old drafts as often as possible."""
        if self.gumbel:
            return self._best(p, cells)
        n = len(tokens)
        coupled = self.coupling.couple(p[:n], q, tokens, cells[:n], state.passes)
        return coupled + self.verifier.draw(p[n:], range(len(cells) - n), cells[n:], state.passes + 1)

    def _best(self, q: Float[Tensor, "N V"], cells: range) -> list[int]:
        return (q.log() + self.noise.gumbel(list(cells))).argmax(-1).tolist()


METHOD = Method(
    "scd", "SJD with drafts coupled from pass to pass", SCDOptions(), SCD, rule="rejection",
    variants=("length=3:start=above", "form=gumbel", "length=3:form=gumbel:start=above", "slots=4"),
)  # fmt: skip
