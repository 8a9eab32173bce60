"""The drafter of plain AR: no guesses."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from spatialspec.core.interfaces import Verifier
from spatialspec.core.proposal import Proposal, Scores, Verdict
from spatialspec.core.setting import NoSettings, Setting
from spatialspec.core.state import State


class Nothing:
    """Proposes nothing, so that every pass commits the target's own token and no more."""

    Settings = NoSettings

    @classmethod
    def make(cls, setting: Setting, settings: NoSettings, verifier: Verifier) -> Nothing:
        """The drafter of one image."""
        return cls()

    def propose(self, state: State) -> Proposal:
        """An empty proposal."""
        return Proposal()

    def observe(
        self, state: State, proposal: Proposal, verdict: Verdict, p: Float[Tensor, "R V"], scores: Scores
    ) -> None:
        """Learn nothing."""
