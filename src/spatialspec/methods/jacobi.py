"""Jacobi decoding under coupled noise: no drafter, no q, the very tokens of AR.

    z_i = argmax(log p_i + g_i) for every row of the pass; z_i is committed while the drafts before it agree;
    behind that x_i <- z_i

A new cell copies the token of the cell above, in row 0 that of the cell to its left. Plain Jacobi decoding is Song et
al., 2021; keyed noise makes it work for sampling.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from spatialspec.core.interfaces import Verifier
from spatialspec.core.proposal import Proposal, Scores, Verdict
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.methods.options import parameter


@dataclass(frozen=True)
class JacobiSettings:
    """How far the window reaches."""

    length: int = parameter(32, "rows of a pass L: the pending token and L - 1 drafts", 2, 128)


class Jacobi:
    """The drafter: the verifier's own tokens of the last pass, where it has looked, copies elsewhere."""

    Settings = JacobiSettings

    @classmethod
    def make(cls, setting: Setting, settings: JacobiSettings, verifier: Verifier) -> Jacobi:
        """The drafter of one image."""
        return cls(setting.grid.columns, settings.length)

    def __init__(self, columns: int, length: int) -> None:
        self.columns, self.length = columns, length
        self.tokens: list[int] = []

    def propose(self, state: State) -> Proposal:
        """The window as a chain; nothing before the first token."""
        if not state.frontier:
            return Proposal()
        written = [*state.tokens, *self.tokens]
        for cell in range(len(written), min(state.frontier + self.length - 1, state.grid.cells)):
            written.append(written[cell - self.columns if cell >= self.columns else cell - 1])
        refined, self.tokens = len(self.tokens), written[state.frontier :]
        proposal = Proposal.chain(state.frontier, self.tokens)
        proposal.stand_ins = set(range(refined, len(proposal)))
        return proposal

    def observe(
        self, state: State, proposal: Proposal, verdict: Verdict, p: Float[Tensor, "R V"], scores: Scores
    ) -> None:
        """Take over the refined tokens behind what was committed."""
        assert verdict.refined is not None
        scored = verdict.refined[: state.grid.cells - state.frontier]
        self.tokens = list(scored[len(verdict.tokens(proposal)) :])
