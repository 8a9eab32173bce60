"""SCD, also MC-SJD (arXiv 2510.24211): SJD with drafts that change as rarely as possible between passes.

    maximal: x'_i = x_i if U < p_i(x_i) / q_i(x_i), else a sample of normalise(max(p_i - q_i, 0))
    gumbel:  x'_i = argmax(log p_i + G_i), with the same G_i in every pass

In both forms x'_i has the distribution p_i, which is its q in the next pass, as in SJD. The maximal form is the
adaptive continuation of SJD-PAC. Several grids: as in SJD.

| variable | symbol in the paper |
|---|---|
| `refined` | x', by pi_MC, the maximal coupling of p^{t-1} and p^t |
| `noise.gumbel` | G_i |
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Verifier
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.method import Method
from spatialspec.methods.options import LARGEST
from spatialspec.methods.sjd import SJD, WindowOptions


class SCDOptions(WindowOptions):
    """Window, and coupling of drafts between passes."""

    length: int = Field(
        default=32, ge=2, le=LARGEST, description="slots of a pass L: the pending token and L - 1 drafts"
    )
    form: Literal["maximal", "gumbel"] = Field(default="maximal", description="coupling of drafts from pass to pass")


class SCD(SJD):
    """The drafter; the verifier is rejection, whose tests of open cells are the maximal coupling."""

    def __init__(self, context: DecodeContext, options: WindowOptions, verifier: Verifier) -> None:
        super().__init__(context, options, verifier)
        self.gumbel = isinstance(options, SCDOptions) and options.form == "gumbel"
        self.on_host &= not self.gumbel

    def draw(self, q: Float[Tensor, "N V"], cells: range, state: State) -> Int[Tensor, "N"]:
        """As in the base; in the Gumbel form with the cell's coupled noise."""
        return self._best(q, cells) if self.gumbel else super().draw(q, cells, state)

    def observe(self, step: Step) -> None:
        """Store p, and drafts that are samples of p and equal the old ones as often as possible."""
        super().observe(step)
        refined = step.verdict.refined or ()
        self.tokens = [] if self.gumbel else list(refined[len(step.written) : len(step.proposal)])

    def _best(self, q: Float[Tensor, "N V"], cells: range) -> Int[Tensor, "N"]:
        return (q.log() + self.noise.gumbel(list(cells))).argmax(-1)


METHOD = Method(
    "scd", "SJD with drafts coupled from pass to pass", SCDOptions(), SCD, rule="rejection",
    variants=("length=3:start=above", "form=gumbel", "length=3:form=gumbel:start=above", "slots=4"),
)  # fmt: skip
