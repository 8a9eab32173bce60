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

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Coupling
from spatialspec.core.noise import Purpose, inverse_cdf
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.method import Method
from spatialspec.methods.options import LARGEST
from spatialspec.methods.rejection import NONE
from spatialspec.methods.scd import SCD
from spatialspec.methods.sjd import WindowOptions


class SJDPACOptions(WindowOptions):
    """Window and tree."""

    length: int = Field(default=64, ge=2, le=LARGEST, description="slots of a pass L, root and tree included")
    width: int = Field(default=4, ge=1, le=16, description="candidates of a cell K")
    depth: int = Field(default=3, ge=1, le=8, description="levels of the tree D, root included")


class SJDPAC(SCD):
    """The drafter; the verifier is rejection, which takes the first accepted candidate."""

    def __init__(self, context: DecodeContext, options: SJDPACOptions, verifier: Coupling) -> None:
        super().__init__(context, options, verifier)
        self.width, self.depth = options.width, options.depth
        self.scored = 0  # cells before this one have been in a pass
        self.main: list[int] = []

    def propose(self, state: State) -> Proposal:
        """Tree and chain."""
        window = self.fill(state)
        q = self.q[self.indices(window)]
        lists, rest = self._lists(state, window, q)
        proposal, level, self.main = Proposal(), [ROOT], []
        for i, cell in enumerate(window):
            if len(proposal) + 2 > self.options.length:
                break
            candidates = [(self.tokens[i], i), *(lists[i] if i < len(lists) else ())]
            parents = level if i < len(lists) else level[:1]  # behind the tree only the main path continues
            level = [proposal.add(cell, token, parent, index) for parent in parents for token, index in candidates]
            self.main.append(level[0])
        proposal.q = torch.cat((q, *rest)) if len(window) else None
        self.tokens = self.tokens[: len(self.main)]
        return proposal

    def _lists(
        self, state: State, window: range, q: Float[Tensor, "N V"]
    ) -> tuple[list[list[tuple[int, int]]], list[Float[Tensor, "levels V"]]]:
        """Candidates 2 .. K of the cells in the tree, as many complete levels as fit, and what they are drawn from.

        Returns:
            For each level its candidates, each with its index in q and these distributions behind it; and these.
        """
        levels, nodes = 0, 1
        most = min(self.depth - 1, len(window), max(0, self.scored - state.frontier))
        while levels < most and nodes + self.width ** (levels + 1) <= self.options.length:
            levels += 1
            nodes += self.width**levels
        if not levels or self.width == 1:
            return [[] for _ in range(levels)], []
        further, cells = range(1, self.width), list(window[:levels])
        u = self.noise.uniform(Purpose.DRAFT, state.passes, cells * len(further), [k for k in further for _ in cells])
        rest, last = q[:levels], torch.tensor(self.tokens[:levels], device=q.device)
        distributions, drawn = [], []
        for numbers in u.to(q.device).split(levels):
            rest = rest.scatter(-1, last[:, None], 0.0)
            mass = rest.sum(-1, keepdim=True)
            rest = rest / mass.clamp(min=torch.finfo(rest.dtype).tiny)
            last = inverse_cdf(rest, numbers).clamp(max=rest.shape[-1] - 1)
            distributions.append(rest)
            drawn.append(last.where(mass[:, 0] > 0, NONE))
        lists: list[list[tuple[int, int]]] = [[] for _ in range(levels)]
        for k, tokens in enumerate(torch.stack(drawn).tolist()):
            for i, token in enumerate(tokens):
                if token != NONE and len(lists[i]) == k:
                    lists[i].append((token, len(q) + k * levels + i))
        return lists, distributions

    def observe(self, step: Step) -> None:
        """Continue on the main path behind the committed cells, whichever path was accepted."""
        state, proposal, verdict = step.before, step.proposal, step.verdict
        slots = [0, *(node + 1 for node in self.main)]
        scored = range(state.frontier, min(state.frontier + len(slots), self.layout.cells))
        done = len(step.written)
        slots[:done] = verdict.slots()[: len(slots)]
        p = step.p[slots[: len(scored)]]
        self.q[self.indices(scored)] = p
        self.scored = max(self.scored, scored.stop)
        left = scored[done:]
        q = proposal.q[done : len(self.main)] if proposal.q is not None else p[:0]
        self.tokens = self.refresh(self.tokens[done:], q, p[done:], left, state) if left else []


METHOD = Method(
    "sjd-pac", "SJD, continued behind a rejection, and a tree there", SJDPACOptions(), SJDPAC, rule="rejection",
    variants=("length=4:width=2:start=above", "width=2:depth=4", "slots=3"),
)  # fmt: skip
