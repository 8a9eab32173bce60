"""SJD-PAC (arXiv 2603.18599): adaptive continuation (SCD's maximal form) and a tree of candidates behind a rejection.

    list of cell i: x_{i,1} = the draft, x_{i,k} ~ q_{i,k} = q_i without the tokens before it, normalised
    tree: every node of one cell has the whole list of the next as children, D - 1 levels; then a chain

Several grids: as in SJD; tree and chain may cross from one into the next.

| variable | symbol in the paper |
|---|---|
| `width`, `depth` | K, D (the root counts as a level) |
| `main` | the path of first candidates, continued by the chain |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Verifier
from spatialspec.core.noise import Purpose, inverse_cdf
from spatialspec.core.proposal import ROOT, Proposal, unread
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.method import Method
from spatialspec.methods.options import LARGEST
from spatialspec.methods.rejection import normalise
from spatialspec.methods.scd import SCD
from spatialspec.methods.sjd import WindowOptions

TINY = 1e-30  # least probability that further candidates are drawn with: q may have fewer tokens than candidates


class SJDPACOptions(WindowOptions):
    """Window and tree."""

    length: int = Field(default=64, ge=2, le=LARGEST, description="slots of a pass L, root and tree included")
    width: int = Field(default=4, ge=1, le=16, description="candidates of a cell K")
    depth: int = Field(default=3, ge=1, le=8, description="levels of the tree D, root included")


class SJDPAC(SCD):
    """The drafter; the verifier is rejection, which takes the first accepted candidate."""

    def __init__(self, context: DecodeContext, options: SJDPACOptions, verifier: Verifier) -> None:
        super().__init__(context, options, verifier)
        self.width, self.depth = min(options.width, context.target.vocabulary), options.depth
        self.main: list[int] = []

    def propose(self, state: State) -> Proposal:
        """Tree and chain."""
        cells, q, codes, drafts = self.window(state)
        levels, further = self._levels(), self.width - 1
        further_codes = unread(further * levels, 0 if drafts is None else len(drafts))  # level by level for each k
        proposal, level, self.main = Proposal(q=q, drafts=drafts), [ROOT], []
        if levels and further:
            tokens, distributions = self._further(q[:levels], cells[:levels], state)
            proposal.drafts = torch.cat(tokens if drafts is None else (drafts, *tokens))
            proposal.q = torch.cat((q, distributions))
        for i, cell in enumerate(cells):
            if len(proposal) + 2 > self.options.length:
                break
            candidates = [(codes[i], i)]
            if i < levels:
                candidates += [(further_codes[n], len(q) + n) for n in range(i, further * levels, levels)]
            parents = level if i < levels else level[:1]  # behind the tree only the main path continues
            level = [proposal.add(cell, code, parent, index) for parent in parents for code, index in candidates]
            self.main.append(level[0])
        return proposal

    def _levels(self) -> int:
        """Cells in the tree: as many complete levels as fit, of cells whose draft was made with the last pass."""
        levels, nodes = 0, 1
        most = min(self.depth - 1, len(self.tokens))
        while levels < most and nodes + self.width ** (levels + 1) <= self.options.length:
            levels += 1
            nodes += self.width**levels
        return levels

    def _further(
        self, q: Float[Tensor, "levels V"], cells: range, state: State
    ) -> tuple[list[Int[Tensor, "levels"]], Float[Tensor, "N V"]]:
        """Candidates 2 .. K of the cells in the tree, and what they are drawn from."""
        numbers = [(cell, k) for k in range(1, self.width) for cell in cells]
        u = self.noise.uniform(Purpose.DRAFT, state.passes, *zip(*numbers, strict=True))
        rest, last = q.clamp(min=TINY), torch.from_numpy(np.array(self.tokens[: len(cells)])).to(q.device)
        tokens, weights = [], []
        for u_k in u.split(len(cells)):
            rest = rest.scatter(-1, last[:, None], 0.0)
            weights.append(rest)
            tokens.append(last := inverse_cdf(rest, u_k))
        return tokens, normalise(torch.cat(weights))

    def slots(self, step: Step) -> Sequence[int]:
        """Those of the accepted path, then of the main path, whichever was accepted."""
        slots, done = [0, *(node + 1 for node in self.main)], len(step.written)
        slots[:done] = step.verdict.slots()[: len(slots)]
        return slots

    def observe(self, step: Step) -> None:
        """Continue on the main path behind the committed cells."""
        super().observe(step)
        refined, slots = step.verdict.refined, self.slots(step)[: self.scored - step.before.frontier]
        self.tokens = [] if refined is None else [refined[slot] for slot in slots[len(step.written) :]]


METHOD = Method(
    "sjd-pac", "SJD, continued behind a rejection, and a tree there", SJDPACOptions(), SJDPAC, rule="rejection",
    variants=("length=4:width=2:start=above", "width=2:depth=4", "slots=3"),
)  # fmt: skip
