"""SCD, also MC-SJD (arXiv 2510.24211): SJD whose drafts change as little as possible from pass to pass.

    maximal: x'_i = x_i if U < p_i(x_i) / q_i(x_i), else a sample of normalise(max(p_i - q_i, 0))
    gumbel:  x'_i = argmax(log p_i + G_i), with the same G_i in every pass

Either way x'_i has the law p_i, which it is tested with in the next pass, as in SJD. The maximal form is the adaptive
continuation of SJD-PAC.

| variable | symbol in the paper |
|---|---|
| `couple` | pi_MC, maximal coupling of p^{t-1} and p^t |
| `noise.gumbel` | G_i |
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from spatialspec.core.interfaces import Coupling
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.methods.options import parameter
from spatialspec.methods.window import Window, WindowSettings


@dataclass(frozen=True)
class SCDSettings(WindowSettings):
    """How drafts of two passes are coupled."""

    length: int = parameter(32, "rows of a pass L: the pending token and L - 1 drafts", 2, 128)
    form: str = parameter("maximal", "coupling of drafts from pass to pass", choices=("maximal", "gumbel"))


class SCD(Window):
    """The drafter; the verifier is rejection."""

    Settings = SCDSettings

    @classmethod
    def make(cls, setting: Setting, settings: SCDSettings, verifier: Coupling) -> SCD:
        """The drafter of one image."""
        return cls(setting, settings, verifier)

    def __init__(self, setting: Setting, settings: SCDSettings, verifier: Coupling) -> None:
        super().__init__(setting, settings, verifier)
        self.coupling, self.form = verifier, settings.form

    def fill(self, state: State) -> range:
        """In the Gumbel form the first draft of a cell has the cell's noise, too."""
        known, window = len(self.tokens), super().fill(state)
        if self.form == "gumbel" and (new := window[known:]):
            self.tokens[known:] = self._best(self.law[self.places(new)], new)
        return window

    def refresh(
        self, tokens: list[int], q: Float[Tensor, "N V"], p: Float[Tensor, "M V"], cells: range, state: State
    ) -> list[int]:
        """Samples of p that are the old drafts as often as can be."""
        if self.form == "gumbel":
            return self._best(p, cells)
        n = len(tokens)
        kept = self.coupling.couple(p[:n], q, tokens, cells[:n], state.passes)
        return kept + self.verifier.draw(p[n:], range(len(cells) - n), cells[n:], state.passes + 1)

    def _best(self, law: Float[Tensor, "N V"], cells: range) -> list[int]:
        return (law.log() + self.noise.gumbel(list(cells))).argmax(-1).tolist()
