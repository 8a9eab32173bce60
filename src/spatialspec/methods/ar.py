"""Plain autoregressive decoding, the reference: every pass commits one token of the target.

Several grids: one token per pass in each.
"""

from __future__ import annotations

from spatialspec.core.interfaces import Drafter
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.methods.method import Method
from spatialspec.methods.options import Options


class AR(Drafter):
    """Proposes nothing and takes any arguments."""

    def __init__(self, *parts: object) -> None: ...

    def propose(self, state: State) -> Proposal:
        """An empty proposal."""
        return Proposal()


class AROptions(Options):
    """Of AR: none."""

    fixed = "a pass has one slot"


METHOD = Method("ar", "plain AR: one token per pass, the reference", AROptions(), AR)
