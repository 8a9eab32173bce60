"""SJD, Speculative Jacobi Decoding (arXiv 2410.01699): the last iteration's samples are drafts, its laws their q.

    accept x_i if U < min(1, p^t(x_i) / p^{t-1}(x_i)); stop at the first refusal, which is sampled from the residual;
    every cell behind it: x_i ~ p^t_i, drawn afresh

| variable | symbol in the paper |
|---|---|
| `p` | p_theta(. | x^{t-1}), of this pass |
| `law`, `q` | p of the pass before |
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from spatialspec.core.interfaces import Verifier
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.methods.window import Window, WindowSettings


class SJD(Window):
    """The drafter; the verifier is rejection, or a relaxed form of it (GSD, CSD)."""

    Settings = WindowSettings

    @classmethod
    def make(cls, setting: Setting, settings: WindowSettings, verifier: Verifier) -> SJD:
        """The drafter of one image."""
        return cls(setting, settings, verifier)

    def refresh(
        self, tokens: list[int], q: Float[Tensor, "N V"], p: Float[Tensor, "M V"], cells: range, state: State
    ) -> list[int]:
        """A fresh sample of every p."""
        return self.verifier.draw(p, range(len(cells)), cells, state.passes + 1)
