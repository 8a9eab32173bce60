"""SSD's verification as auto-correction (arXiv 2606.20543, section 1.5 of our notes in docs/papers/ssd.md).

In a round every drafted cell is judged on its own, given the drafts to its left: under rejection it stays with
probability min(1, p/q) or is replaced by a sample of normalise(max(p - q, 0)); under coupled noise it becomes
argmax(log p + g). Nothing behind a replacement is thrown away. After a fixed number of rounds a pass commits the block
as it stands. Not exact: p is conditioned on drafts that may change in the same round, and nobody asks whether they did.

| variable | symbol |
|---|---|
| `p[:-1]` | p_theta at the drafted cells |
| `proposal.q` | q_phi |
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from spatialspec.core.proposal import Proposal, Verdict
from spatialspec.core.state import State
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.on_rule import OnRule


class AutoCorrect(OnRule):
    """Rounds of correction over a chain, then a commit; works on the rule of another verifier."""

    def verify(self, proposal: Proposal, p: Float[Tensor, "R V"], state: State) -> Verdict:
        """Correct a block that is not final; without drafts, one token as in AR."""
        if not len(proposal):
            return self.rule.verify(proposal, p, state)
        if proposal.final:
            return Verdict()
        if isinstance(self.rule, Coupled):
            return Verdict(refined=tuple(self.rule.winners(proposal, p, state)))
        assert proposal.q is not None
        return Verdict(
            refined=tuple(self.rule.couple(p[:-1], proposal.q, proposal.tokens, proposal.cells, state.passes))
        )
