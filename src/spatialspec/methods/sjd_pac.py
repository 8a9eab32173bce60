"""SJD-PAC (arXiv 2603.18599): adaptive continuation (SCD's maximal form) and a tree of candidates behind a rejection.

    list of cell i: x_{i,1} = the draft, x_{i,k} ~ q_{i,k} = q_i without the tokens before it, normalised
    tree: every node of one cell has the whole list of the next as children, D - 1 levels; then a chain

| variable | symbol in the paper |
|---|---|
| `width`, `depth` | K, D (the root counts as a level) |
| `main` | the path of first candidates, which goes on as the chain |
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.interfaces import Coupling
from spatialspec.core.noise import Purpose, inverse_cdf
from spatialspec.core.proposal import ROOT, Proposal, Scores, Verdict
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.methods.options import parameter
from spatialspec.methods.scd import SCD, SCDSettings
from spatialspec.methods.window import WindowSettings


@dataclass(frozen=True)
class PACSettings(WindowSettings):
    """Window and tree."""

    length: int = parameter(64, "rows of a pass L, root and tree included", 2, 128)
    width: int = parameter(4, "candidates of a cell K", 1, 16)
    depth: int = parameter(3, "levels of the tree D, root included", 1, 8)


class SJDPAC(SCD):
    """The drafter; the verifier is rejection, which takes the first candidate that passes."""

    Settings = PACSettings  # type: ignore[assignment]

    @classmethod
    def make(cls, setting: Setting, settings: PACSettings, verifier: Coupling) -> SJDPAC:  # type: ignore[override]
        """The drafter of one image."""
        return cls(setting, settings, verifier)

    def __init__(self, setting: Setting, settings: PACSettings, verifier: Coupling) -> None:
        super().__init__(setting, SCDSettings(length=settings.length, start=settings.start), verifier)
        self.width, self.depth = settings.width, settings.depth
        self.scored = 0  # cells before this one have been in a pass
        self.main: list[int] = []

    def propose(self, state: State) -> Proposal:
        """Tree and chain."""
        window = self.fill(state)
        q = self.law[self.places(window)]
        lists = self._lists(state, window, q)
        proposal, rows = Proposal(), list(q)
        level, self.main = [ROOT], []
        for i, cell in enumerate(window):
            if len(proposal) + 2 > self.settings.length:
                break
            candidates = [(self.tokens[i], i)]
            for token, law in lists[i] if i < len(lists) else ():
                candidates.append((token, len(rows)))
                rows.append(law)
            ups = level if i < len(lists) else level[:1]  # behind the tree only the main path goes on
            level = [proposal.add(cell, token, up, row) for up in ups for token, row in candidates]
            self.main.append(level[0])
        proposal.q = torch.stack(rows) if rows else None
        self.tokens = self.tokens[: len(self.main)]
        return proposal

    def _lists(self, state: State, window: range, q: Float[Tensor, "N V"]) -> list[list[tuple[int, Tensor]]]:
        """Candidates 2 .. K, with their laws, of the cells in the tree; whole levels only, as many as have room."""
        levels, nodes = 0, 1
        known = min(self.depth - 1, len(window), max(0, self.scored - state.frontier))
        while levels < known and nodes + self.width ** (levels + 1) <= self.settings.length:
            levels += 1
            nodes += self.width**levels
        lists: list[list[tuple[int, Tensor]]] = [[] for _ in range(levels)]
        rest = q[:levels].clone()
        last = torch.tensor(self.tokens[:levels], device=q.device)
        for k in range(1, self.width if levels else 1):
            rest.scatter_(-1, last[:, None], 0.0)
            mass = rest.sum(-1, keepdim=True)
            rest = rest / mass.clamp(min=torch.finfo(rest.dtype).tiny)
            u = self.noise.uniform(Purpose.DRAFT, state.passes, list(window[:levels]), [k] * levels)
            last = inverse_cdf(rest, u.to(rest.device)).clamp(max=rest.shape[-1] - 1)
            for i, (token, there) in enumerate(zip(last.tolist(), (mass[:, 0] > 0).tolist(), strict=True)):
                if there and len(lists[i]) == k - 1:
                    lists[i].append((token, rest[i].clone()))
        return lists

    def observe(
        self, state: State, proposal: Proposal, verdict: Verdict, p: Float[Tensor, "R V"], scores: Scores
    ) -> None:
        """Continue on the main path behind what was committed, wherever the walk went."""
        rows = [0, *(node + 1 for node in self.main)]
        scored = range(state.frontier, min(state.frontier + len(rows), self.grid.cells))
        done = len(verdict.tokens(proposal))
        rows[:done] = verdict.rows()[: len(rows)]
        laws = p[rows[: len(scored)]]
        self.law[self.places(scored)] = laws
        self.scored = max(self.scored, scored.stop)
        left = scored[done:]
        q = proposal.q[done : len(self.main)] if proposal.q is not None else p[:0]
        self.tokens = self.refresh(self.tokens[done:], q, laws[done:], left, state) if left else []
